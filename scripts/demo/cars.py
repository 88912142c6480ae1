"""Cars as meshes: the origin is on the ground beneath the middle of the tail."""

from dataclasses import dataclass

import numpy as np

from scripts.demo.shapes import Floats, Mesh, disc, join, polygon, rectangle
from scripts.demo.textures import Texture

GLASS_ALBEDO, RIM_ALBEDO = 0.06, 0.26


@dataclass(frozen=True)
class CarShape:
    """A side view, metres from the tail: outlines of body, cabin and side windows [K, 2]; wheels' x."""

    length: float
    body: tuple[tuple[float, float], ...]
    cabin: tuple[tuple[float, float], ...]
    windows: tuple[tuple[tuple[float, float], ...], ...]
    wheels: tuple[float, float]
    width: float = 1.75


SALOON = CarShape(
    4.5,
    ((0.05, 0.25), (0.0, 0.6), (0.05, 0.93), (0.8, 0.98), (3.3, 0.95), (4.2, 0.8), (4.5, 0.6), (4.47, 0.25)),
    ((0.65, 0.95), (1.35, 1.4), (2.5, 1.44), (3.4, 0.93)),
    (
        ((0.95, 0.98), (1.42, 1.33), (2.0, 1.36), (2.0, 0.98)),
        ((2.1, 0.98), (2.1, 1.36), (2.5, 1.36), (3.12, 0.98)),
    ),
    (0.85, 3.65),
)
HATCHBACK = CarShape(
    3.9,
    ((0.05, 0.25), (0.0, 0.6), (0.03, 0.95), (2.8, 0.98), (3.65, 0.82), (3.9, 0.6), (3.87, 0.25)),
    ((0.05, 0.93), (0.4, 1.46), (2.1, 1.52), (3.0, 0.95)),
    (
        ((0.35, 1.0), (0.58, 1.38), (1.4, 1.43), (1.4, 1.0)),
        ((1.5, 1.0), (1.5, 1.43), (2.05, 1.43), (2.7, 1.0)),
    ),
    (0.7, 3.1),
    1.7,
)
VAN = CarShape(
    4.9,
    ((0.05, 0.3), (0.0, 0.7), (0.0, 1.1), (3.9, 1.1), (4.75, 0.98), (4.9, 0.7), (4.87, 0.3)),
    ((0.0, 1.05), (0.1, 1.95), (3.2, 1.98), (4.1, 1.05)),
    (((2.55, 1.15), (2.55, 1.78), (3.15, 1.78), (3.75, 1.15)),),
    (0.95, 4.0),
    1.9,
)


def _extruded(outline: Floats, width: float, side: Mesh, albedo: float, glazed: bool) -> Mesh:
    """The side mirrored to +-width/2 and the strips between; a cabin's end strips are its windscreens."""
    strips = []
    half = width / 2
    for k in range(len(outline)):
        (xa, ya), (xb, yb) = outline[k], outline[(k + 1) % len(outline)]
        glass = glazed and k in (0, len(outline) - 2)
        strips.append(
            rectangle(
                (xa, ya, -half), (xb - xa, yb - ya, 0), (0, 0, width), GLASS_ALBEDO if glass else albedo
            )
        )
    return join([side.at((0, 0, -half)), side.at((0, 0, half)), *strips])


def _flat(outline: Floats, albedo: float, texture: Texture, size: tuple[float, float]) -> Mesh:
    """An outline [K, 2] as a polygon at z = 0, its texture stretched over size metres."""
    points = np.column_stack([outline, np.zeros(len(outline))])
    return polygon(points, albedo, texture, outline / size)


def _nose_and_tail(shape: CarShape) -> list[Mesh]:
    """Lamps, grille and number plates, a finger's breadth proud of both ends."""
    parts = []
    for x, lamp, grille in ((shape.length + 0.02, 1.6, 0.05), (-0.02, 0.35, 0.3)):
        parts.append(rectangle((x, 0.34, -0.5), (0, 0, 1.0), (0, 0.24, 0), grille))
        parts.append(rectangle((x + 0.01, 0.4, -0.24), (0, 0, 0.48), (0, 0.12, 0), 0.9))
        parts += [rectangle((x, 0.6, z), (0, 0, 0.38), (0, 0.17, 0), lamp) for z in (-0.8, 0.42)]
    return parts


def car(shape: CarShape, paint: float) -> Mesh:
    """A car without wheels, nose along +x; paint is its reflectance."""
    body, cabin = np.array(shape.body), np.array(shape.cabin)
    side = _flat(body, paint, Texture.PANEL, (shape.length, 1.0))
    house = _flat(cabin, paint * 1.05, Texture.PLAIN, (1.0, 1.0))
    parts = [
        _extruded(body, shape.width, side, paint * 0.95, glazed=False),
        _extruded(cabin, shape.width * 0.9, house, paint, glazed=True),
        *_nose_and_tail(shape),
    ]
    for window in shape.windows:
        pane = _flat(np.array(window), GLASS_ALBEDO * 1.6, Texture.GLASS, (1.5, 1.5))
        parts += [pane.at((0, 0, s * (shape.width * 0.45 + 0.02))) for s in (-1, 1)]
    for x in shape.wheels:
        parts += [disc((x, 0.36, s * (shape.width / 2 + 0.01)), 0.39, 0.06) for s in (-1, 1)]
    return join(parts)


def wheels(shape: CarShape, travelled_m: float) -> Mesh:
    """The wheels, turned as far as the way travelled asks."""
    radius = 0.33
    sides = [s * (shape.width / 2 + 0.03) for s in (-1, 1)]
    return join(
        [
            disc((x, radius, z), radius, RIM_ALBEDO, Texture.WHEEL, travelled_m / radius)
            for x in shape.wheels
            for z in sides
        ]
    )


def shadow(length: float, width: float, darkness: float) -> Mesh:
    """A patch on the ground that multiplies what it covers by 1 - darkness."""
    half = width / 2
    points = [(0, 0, -half), (length, 0, -half), (length, 0, half), (0, 0, half)]
    return polygon(points, 1 - darkness).at((0, 0.015, 0.2))
