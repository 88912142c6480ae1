"""Sun mask: shadows of houses and trees on the main road, rendered once per film, in (s, d)."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.world.light import Light
from spikewatch.ingest.simulation.world.road import Road


@dataclass(frozen=True, slots=True)
class SunMask:
    """Sunlight on the ground: image [rows, columns] uint8 over (d, s), 255 for full sun.

    Row r, column c is at s = s0_m + c * step_m, d = d0_m + r * step_m. Outside the image, the sun shines.
    """

    image: NDArray[np.uint8]
    s0_m: float
    d0_m: float
    step_m: float


_REACH_D_M = 26.0
_MAX_SHADOW_M = 60.0


@dataclass(slots=True)
class ShadowCasters:
    """Objects that cast shadows: blocks (s0, s1, d0, d1, height), crowns (s, d, radius, height, density)."""

    blocks: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    crowns: list[tuple[float, float, float, float, float]] = field(default_factory=list)


def render_sun_mask(
    rng: np.random.Generator,
    road: Road,
    span: tuple[float, float],
    shadow_casters: ShadowCasters,
    light: Light,
) -> SunMask:
    """Render the mask over a span of s; without direct sun, return a tiny mask of full sun."""
    if not light.sunny:
        return SunMask(np.full((2, 2), 255, np.uint8), span[0], -_REACH_D_M, 1.0)
    step = max(0.3, (span[1] - span[0]) / 8000)
    size = (int((span[1] - span[0]) / step), int(2 * _REACH_D_M / step))
    image = Image.new("L", size, 255)
    canvas = ImageDraw.Draw(image)
    for s0, s1, d0, d1, height in shadow_casters.blocks:
        corners = np.array([[s0, d0], [s1, d0], [s1, d1], [s0, d1]])
        _draw_swept_polygon(
            canvas, corners, _shadow_offset(road, light, (s0 + s1) / 2, height), span[0], step
        )
    for s, d, radius, height, density in shadow_casters.crowns:
        offset = _shadow_offset(road, light, s, height * 0.65)
        _draw_crown_shadow(rng, canvas, np.array([s, d]) + offset, radius, density, span[0], step)
    blurred = image.filter(ImageFilter.GaussianBlur(0.7))
    return SunMask(np.asarray(blurred, np.uint8).copy(), span[0], -_REACH_D_M, step)


def _shadow_offset(road: Road, light: Light, s: float, height: float) -> Floats:
    """Return the offset of the shadow of a point from its foot, in (s, d)."""
    x, y, z = light.sun
    reach = min(height / z * float(np.hypot(x, y)), _MAX_SHADOW_M)
    angle = np.arctan2(y, x) - float(road.heading_at(s))
    return np.asarray(-reach * np.array([np.cos(angle), np.sin(angle)]))


def _draw_swept_polygon(
    canvas: ImageDraw.ImageDraw, corners: Floats, shift: Floats, s0: float, step: float
) -> None:
    """Draw the area that the polygon of corners [4, 2] sweeps while it moves by shift."""
    polygons = [corners, corners + shift]
    for first, second in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        polygons.append(np.array([first, second, second + shift, first + shift]))
    for polygon in polygons:
        pixels = (polygon - [s0, -_REACH_D_M]) / step
        canvas.polygon([(float(x), float(y)) for x, y in pixels], fill=0)


def _draw_crown_shadow(
    rng: np.random.Generator,
    canvas: ImageDraw.ImageDraw,
    centre: Floats,
    radius: float,
    density: float,
    s0: float,
    step: float,
) -> None:
    """Draw blots of shade around a centre, with light between them."""
    centre_px = (centre - [s0, -_REACH_D_M]) / step
    for _ in range(int(10 + 22 * density)):
        x, y = centre_px + rng.normal(size=2) * radius * 0.5 / step
        size = rng.uniform(0.1, 0.42) * radius / step * (0.4 + 0.6 * density)
        canvas.ellipse([x - size, y - size, x + size, y + size], fill=int(rng.uniform(0, 130)))
