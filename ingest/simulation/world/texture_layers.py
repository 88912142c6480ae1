"""Texture layers of a film, and their sampling."""

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.world.buildings import HouseLayers
from spikewatch.ingest.simulation.world.facade_textures import (
    facade_texture,
    glass_front_texture,
    roof_texture,
    shop_texture,
)
from spikewatch.ingest.simulation.world.ground import GroundSurfaces
from spikewatch.ingest.simulation.world.look import Appearance
from spikewatch.ingest.simulation.world.road_profile import RoadProfile
from spikewatch.ingest.simulation.world.site import StreetLayers
from spikewatch.ingest.simulation.world.textures import (
    TEXTURE_PX,
    TextureArray,
    asphalt_texture,
    brick_texture,
    cloud_texture,
    fractal_noise,
    grass_texture,
    leaf_texture,
    paving_texture,
    poster_texture,
    sign_texture,
    speckle_texture,
)


def sample_street_layers(
    rng: np.random.Generator, textures: TextureArray, profile: RoadProfile
) -> StreetLayers:
    """Sample the textures of a street and add them to the array."""
    facades = tuple(
        textures.add(glass_front_texture(rng) if rng.random() < 0.15 else facade_texture(rng))
        for _ in range(9)
    )
    shops = tuple(textures.add(shop_texture(rng)) for _ in range(5))
    walls = (textures.add(brick_texture(rng)), textures.add(speckle_texture(rng, 0.7, 0.1)))
    houses = HouseLayers(facades, shops, tuple(textures.add(roof_texture(rng)) for _ in range(2)), walls)
    dark = rng.uniform(0.07, 0.3)
    plaza = profile.setting == "city" and rng.random() < 0.8
    surfaces = GroundSurfaces(
        road=(textures.add(asphalt_texture(rng)), dark, rng.uniform(3, 6)),
        pavement=(textures.add(paving_texture(rng)), rng.uniform(0.18, 0.5), rng.uniform(1.5, 3)),
        open_ground=(
            textures.add(paving_texture(rng) if plaza else grass_texture(rng)),
            rng.uniform(0.12, 0.4),
            rng.uniform(2, 5),
        ),
        kerb_albedo=rng.uniform(0.25, 0.6),
        paint_albedo=rng.uniform(0.4, 0.85),
    )
    signs = (*(textures.add(sign_texture(rng)) for _ in range(3)), textures.add(poster_texture(rng)))
    leafage = tuple(textures.add(leaf_texture(rng)) for _ in range(2))
    return StreetLayers(
        houses, surfaces, leafage, textures.add(leaf_texture(rng)), textures.add(bark_texture(rng)), signs
    )


def sample_appearance(rng: np.random.Generator, textures: TextureArray, setting: str) -> Appearance:
    """Sample the textures of sky, reflections and rain, add them to the array, and sample the skyline."""
    return Appearance(
        cloud_layer=textures.add(cloud_texture(rng)),
        reflection_layer=textures.add(_reflection_texture(rng)),
        rain_layer=textures.add(_rain_texture(rng)),
        skyline=_sample_skyline(rng, setting),
    )


def bark_texture(rng: np.random.Generator) -> Floats:
    """Sample bark: rough, with a vertical grain."""
    return np.asarray(np.clip(0.6 + 0.25 * fractal_noise(rng, 0.6).T, 0.05, 1))


def _sample_skyline(rng: np.random.Generator, setting: str) -> Floats:
    """Sample the slopes [512] of the skyline by direction: hills and woods, or roofs."""
    if setting in ("country", "motorway"):
        hills = np.interp(np.arange(512) / 4, np.arange(TEXTURE_PX), fractal_noise(rng, 1.4)[0])
        return np.asarray(np.clip(0.4 + 0.25 * hills, 0, 1) * rng.uniform(0.03, 0.16))
    widths = rng.integers(1, 5, 256) * 2
    roofs = np.repeat(rng.uniform(0.1, 0.9, 256), widths)[:512]
    return np.clip(roofs * rng.uniform(0.4, 1), 0, 1) * rng.uniform(0.03, 0.3)


def _reflection_texture(rng: np.random.Generator) -> Floats:
    """Sample the reflections in glass and paint: light and dark blocks."""
    blocks = np.kron(rng.uniform(0.05, 1, (16, 16)), np.ones((8, 8)))
    return np.clip(blocks * (1 + 0.15 * fractal_noise(rng, 0.8)), 0, 1)


def _rain_texture(rng: np.random.Generator) -> Floats:
    """Sample rain: few, faint, thin vertical streaks."""
    image = np.zeros((TEXTURE_PX, TEXTURE_PX))
    for _ in range(60):
        column, top, length = rng.integers(TEXTURE_PX), rng.integers(TEXTURE_PX), rng.integers(8, 28)
        rows = (top + np.arange(length)) % TEXTURE_PX
        image[rows, column] = rng.uniform(0.2, 0.8) * np.sin(np.linspace(0, np.pi, length))
    return image
