"""Procedural buildings of random sizes: town houses with shops, detached houses, walls."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.world.building_blocks import Block, BuiltParts, Plot
from spikewatch.ingest.simulation.world.building_parts import (
    facade_details,
    make_gable_roof,
    make_lit_windows,
)


@dataclass(frozen=True, slots=True)
class HouseLayers:
    """Texture layers from which buildings are sampled."""

    facades: tuple[int, ...]
    shops: tuple[int, ...]
    roofs: tuple[int, ...]
    walls: tuple[int, ...]


def add_town_house(
    rng: np.random.Generator, parts: BuiltParts, plot: Plot, layers: HouseLayers, floors: int
) -> float:
    """Add a town house of several floors, with or without a shop; return its height."""
    width, depth, floor_m = plot.width_m, rng.uniform(8, 14), rng.uniform(2.7, 3.6)
    tone, facade = rng.uniform(0.35, 0.9), int(rng.choice(layers.facades))
    has_shop = bool(rng.random() < 0.5)
    first = rng.uniform(3.2, 4.4) if has_shop else floor_m * rng.uniform(0.9, 1.2)
    height = first + floor_m * (floors - 1)
    repeat = (max(1, round(width / rng.uniform(2.6, 6))) / width, 1 / (floor_m * rng.choice([1, 1, 2])))
    low = int(rng.choice(layers.shops if has_shop else layers.walls))
    bays = max(1, round(width / rng.uniform(3.5, 7))) / width
    cornice, trim = rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.9)
    plinth = (width, 0.2, first + 0.6)
    blocks = [
        Block((0, depth / 2, 0), (width, depth, height), facade, tone, repeat),
        Block((0, 0.05, -0.6), plinth, low, rng.uniform(0.4, 0.95), (bays, 1 / (first + 0.6))),
        Block((0, 0.0, height - 0.1), (width + 0.2, 0.7, cornice), 0, trim),
    ]
    if rng.random() < 0.35:
        back = rng.uniform(1, 3)
        attic = (width * 0.9, depth - back, 2.8)
        blocks.append(Block((0, depth / 2 + back, height), attic, facade, tone * 0.9, repeat))
    parts.add(plot, blocks)
    parts.add(plot, facade_details(rng, (width, height, first), floors, floor_m, has_shop), detail=True)
    if rng.random() < 0.4:
        roof = int(rng.choice(layers.roofs))
        parts.extra_meshes.append(
            make_gable_roof(rng, plot, (width, depth), height, rng.uniform(1.5, 4), roof)
        )
    if plot.night:
        parts.extra_meshes.append(make_lit_windows(rng, plot, (width, height), first, floor_m))
    return float(height + 0.5)


def add_house(rng: np.random.Generator, parts: BuiltParts, plot: Plot, layers: HouseLayers) -> float:
    """Add a detached house with roof, door, windows, chimney and maybe a garage; return its height."""
    width, depth, wall_h = plot.width_m, rng.uniform(7, 11), rng.uniform(2.8, 6.2)
    tone, facade, rise = rng.uniform(0.4, 0.95), int(rng.choice(layers.facades)), rng.uniform(1.5, 4)
    wall, roof = int(rng.choice(layers.walls)), int(rng.choice(layers.roofs))
    repeat = (max(1, round(width / rng.uniform(4, 7))) / width, max(1, round(wall_h / 3)) / wall_h)
    blocks = [Block((0, depth / 2, -0.5), (width, depth, wall_h + 0.5), facade, tone, repeat)]
    if rng.random() < 0.4:
        x, gate = rng.choice([-1, 1]) * (width / 2 + 1.6), rng.uniform(0.2, 0.9)
        blocks.append(Block((x, depth / 2 + 1, -0.5), (3.2, 6, 3.1), wall, tone, (0.5, 0.5)))
        blocks.append(Block((x, 2.0, 0), (2.5, 0.1, 2.1), roof, gate, (0.4, 0.5)))
    parts.add(plot, blocks)
    parts.extra_meshes.append(make_gable_roof(rng, plot, (width, depth), wall_h, rise, roof))
    x, chimney = rng.uniform(-0.35, 0.35) * width, rng.uniform(-0.4, 0.4) * width
    details = [
        Block((x, -0.06, 0), (1.05, 0.12, 2.1), 0, rng.choice([0.05, 0.15, 0.4, 0.8])),
        Block((x, -0.6, 2.25), (1.8, 1.2, 0.12), 0, rng.uniform(0.2, 0.8)),
        Block((x, -0.4, -0.1), (1.6, 1.0, 0.2)),
        Block((chimney, depth / 2, wall_h + 0.5 * rise), (0.7, 0.7, rise), wall),
    ]
    parts.add(plot, details, detail=True)
    if plot.night:
        parts.extra_meshes.append(make_lit_windows(rng, plot, (width, wall_h), 0.3, 2.8))
    return float(wall_h + rise)


def add_backdrop(rng: np.random.Generator, parts: BuiltParts, plot: Plot, layers: HouseLayers) -> None:
    """Add a tall building behind the first row, for an uneven skyline."""
    width, depth, height = rng.uniform(10, 25), rng.uniform(10, 18), rng.uniform(10, 38)
    facade, tone = int(rng.choice(layers.facades)), rng.uniform(0.3, 0.8)
    parts.add(plot, [Block((0, depth / 2, -1), (width, depth, height), facade, tone, (1 / 6, 1 / 6))])


def add_wall(
    rng: np.random.Generator, parts: BuiltParts, plot: Plot, layer: int, height: float, thickness: float
) -> None:
    """Add a garden wall, a hedge or a noise barrier along the front, of uneven height."""
    count = max(1, int(plot.width_m / rng.uniform(1.2, 3)))
    block_width, tone = plot.width_m / count, rng.uniform(0.3, 0.8)
    heights = height * (rng.uniform(0.85, 1.1, count) if rng.random() < 0.6 else np.ones(count)) + 0.3
    centres = (np.arange(count) + 0.5) * block_width - plot.width_m / 2
    blocks = [
        Block((x, thickness / 2, -0.3), (block_width * 1.01, thickness, high), layer, tone, (0.6, 0.6))
        for x, high in zip(centres, heights, strict=True)
    ]
    parts.add(plot, blocks)
