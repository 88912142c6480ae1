"""Textures of a film: which layers exist and what they are for."""

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.world.buildings import HouseLayers
from spikewatch.ingest.simulation.world.facade_textures import facade, glass_front, roof, shop
from spikewatch.ingest.simulation.world.ground import Surfaces
from spikewatch.ingest.simulation.world.look import Look
from spikewatch.ingest.simulation.world.road_profile import Profile
from spikewatch.ingest.simulation.world.site import StreetLayers
from spikewatch.ingest.simulation.world.textures import (
    TEXTURE_PX,
    TextureShelf,
    asphalt,
    bricks,
    clouds,
    grass,
    leaves,
    paving,
    poster,
    sign_face,
    sky,
    speckle,
)  # fmt: skip


def draw_street_layers(rng: np.random.Generator, shelf: TextureShelf, profile: Profile) -> StreetLayers:
    """Put the textures of a street on the shelf."""
    facades = tuple(shelf.add(glass_front(rng) if rng.random() < 0.15 else facade(rng)) for _ in range(9))
    shops = tuple(shelf.add(shop(rng)) for _ in range(5))
    walls = (shelf.add(bricks(rng)), shelf.add(speckle(rng, 0.7, 0.1)))
    houses = HouseLayers(facades, shops, tuple(shelf.add(roof(rng)) for _ in range(2)), walls)
    dark = rng.uniform(0.07, 0.3)
    plaza = profile.setting == "city" and rng.random() < 0.8
    surfaces = Surfaces(
        road=(shelf.add(asphalt(rng)), dark, rng.uniform(3, 6)),
        pavement=(shelf.add(paving(rng)), rng.uniform(0.18, 0.5), rng.uniform(1.5, 3)),
        open=(shelf.add(paving(rng) if plaza else grass(rng)), rng.uniform(0.12, 0.4), rng.uniform(2, 5)),
        kerb_albedo=rng.uniform(0.25, 0.6),
        paint_albedo=rng.uniform(0.4, 0.85),
    )
    signs = (*(shelf.add(sign_face(rng)) for _ in range(3)), shelf.add(poster(rng)))
    leafage = tuple(shelf.add(leaves(rng)) for _ in range(2))
    return StreetLayers(houses, surfaces, leafage, shelf.add(leaves(rng)), shelf.add(bark(rng)), signs)


def draw_look(rng: np.random.Generator, shelf: TextureShelf, setting: str) -> Look:
    """Put the textures of sky, distance, reflections and rain on the shelf."""
    return Look(
        cloud=shelf.add(sky(rng)), mirrored=shelf.add(_surroundings(rng)), drops=shelf.add(_streaks(rng)),
        skyline=_skyline(rng, setting),
    )  # fmt: skip


def bark(rng: np.random.Generator) -> Floats:
    """Rough and upright."""
    return np.asarray(np.clip(0.6 + 0.25 * clouds(rng, 0.6).T, 0.05, 1))


def _skyline(rng: np.random.Generator, setting: str) -> Floats:
    """Slopes [512] of what is far away, by direction: hills and woods, or roofs."""
    if setting in ("country", "motorway"):
        hills = np.interp(np.arange(512) / 4, np.arange(TEXTURE_PX), clouds(rng, 1.4)[0])
        return np.asarray(np.clip(0.4 + 0.25 * hills, 0, 1) * rng.uniform(0.03, 0.16))
    widths = rng.integers(1, 5, 256) * 2
    roofs = np.repeat(rng.uniform(0.1, 0.9, 256), widths)[:512]
    return np.clip(roofs * rng.uniform(0.4, 1), 0, 1) * rng.uniform(0.03, 0.3)


def _surroundings(rng: np.random.Generator) -> Floats:
    """What glass and paint mirror: blocks, light and dark."""
    blocks = np.kron(rng.uniform(0.05, 1, (16, 16)), np.ones((8, 8)))
    return np.clip(blocks * (1 + 0.15 * clouds(rng, 0.8)), 0, 1)


def _streaks(rng: np.random.Generator) -> Floats:
    """Rain: thin upright streaks, few and faint."""
    picture = np.zeros((TEXTURE_PX, TEXTURE_PX))
    for _ in range(60):
        column, top, long = rng.integers(TEXTURE_PX), rng.integers(TEXTURE_PX), rng.integers(8, 28)
        rows = (top + np.arange(long)) % TEXTURE_PX
        picture[rows, column] = rng.uniform(0.2, 0.8) * np.sin(np.linspace(0, np.pi, long))
    return picture
