"""Procedural parts of buildings: balconies, awnings, signs, chimneys, roofs, windows lit at night."""

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Mesh, join_meshes, material
from spikewatch.ingest.simulation.world.building_blocks import Block, Plot


def facade_details(
    rng: np.random.Generator, size_m: tuple[float, float, float], floors: int, floor_m: float, has_shop: bool
) -> list[Block]:
    """Sample details of a facade; size_m is its width, its height and the height of its ground floor."""
    width, height, first = size_m
    blocks = []
    if rng.random() < 0.45:
        blocks += _make_balconies(rng, width, first, floors, floor_m)
    if has_shop and rng.random() < 0.5:
        deep, wide = rng.uniform(0.6, 1.5), width * rng.uniform(0.5, 0.95)
        blocks.append(Block((0, -deep / 2, first - 0.6), (wide, deep, 0.15), 0, rng.uniform(0.1, 0.9)))
    for _ in range(int(rng.integers(0, 3)) if has_shop else 0):
        position = (rng.uniform(-0.45, 0.45) * width, -0.5, first - 0.9)
        blocks += [Block(position, (0.12, 0.7, 0.7), 0, rng.uniform(0.1, 1))]
    if rng.random() < 0.5:
        blocks.append(Block((width / 2 - 0.2, -0.06, 0), (0.12, 0.12, height), 0, rng.uniform(0.1, 0.7)))
    for _ in range(int(rng.integers(0, 4))):
        position = (rng.uniform(-0.4, 0.4) * width, rng.uniform(2, 7), height)
        blocks += [Block(position, (rng.uniform(0.5, 1.2), 0.8, rng.uniform(1.1, 1.8)), 0, 0.35)]
    if rng.random() < 0.4:
        tone = rng.uniform(0.4, 0.9)
        levels = first + floor_m * np.arange(floors - 1)
        blocks += [Block((0, -0.04, float(z)), (width, 0.16, 0.18), 0, tone) for z in levels]
    return blocks


def _make_balconies(
    rng: np.random.Generator, width: float, first: float, floors: int, floor_m: float
) -> list[Block]:
    count = max(1, int(width / rng.uniform(2.5, 5)))
    deep, high, tone = rng.uniform(0.3, 1.2), rng.uniform(0.15, 1.0), rng.uniform(0.1, 0.9)
    positions = [
        ((index + 0.5) * width / count - width / 2, first + floor * floor_m)
        for floor in range(floors - 1)
        for index in range(count)
    ]
    chosen = [position for position in positions if rng.random() < 0.8]
    return [Block((x, -deep / 2, z), (width / count * 0.6, deep, high), 0, tone) for x, z in chosen]


def make_gable_roof(
    rng: np.random.Generator, plot: Plot, base: tuple[float, float], height: float, rise: float, layer: int
) -> Mesh:
    """Make a gable roof over a base (width, depth), its ridge along the street or across it."""
    width, depth = base
    a, b, over, top = width / 2 + 0.3, depth + 0.4, -0.4, height + rise
    if rng.random() < 0.6:
        mid, wall = depth / 2, a - 0.3
        slopes = [[[-a, over, height], [a, over, height], [a, mid, top], [-a, mid, top]],
                  [[a, b, height], [-a, b, height], [-a, mid, top], [a, mid, top]]]  # fmt: skip
        ends = [[[-wall, b, height], [-wall, over, height], [-wall, mid, top], [-wall, mid, top]],
                [[wall, over, height], [wall, b, height], [wall, mid, top], [wall, mid, top]]]  # fmt: skip
    else:
        slopes = [[[a, over, height], [a, b, height], [0, b, top], [0, over, top]],
                  [[-a, b, height], [-a, over, height], [0, over, top], [0, b, top]]]  # fmt: skip
        ends = [[[-a, 0, height], [a, 0, height], [0, 0, top], [0, 0, top]]]
    tiles = np.array([[0, 0], [width / 3, 0], [width / 3, 2], [0, 2]])
    roof = plot.make_quads(slopes, material(layer, rng.uniform(0.15, 0.6)), tiles)
    return join_meshes([roof, plot.make_quads(ends, material(albedo=rng.uniform(0.3, 0.8)))])


def make_lit_windows(
    rng: np.random.Generator, plot: Plot, size_m: tuple[float, float], first: float, floor_m: float
) -> Mesh:
    """Sample lit windows, and a lit shop front, of a facade (width, height)."""
    width, height = size_m
    count = int(rng.integers(0, max(2, int(width * height / 25))))
    columns, floors = max(1, int(width / 2.2)), max(1, int((height - first) / floor_m))
    x = (rng.integers(0, columns, count) + 0.5) * width / columns - width / 2
    z = first + rng.integers(0, floors, count) * floor_m + 0.8
    wide, high = np.full(count, rng.uniform(0.6, 1.4)), np.full(count, rng.uniform(0.8, 1.6))
    if first > 2.5 and rng.random() < 0.6:
        x, z, wide, high = (
            np.append(v, last) for v, last in ((x, 0), (z, 0.5), (wide, width * 0.7), (high, 2))
        )
    left, right, top, y = x - wide / 2, x + wide / 2, z + high, np.full(len(x), -0.09)
    corners = [
        np.stack(corner, 1) for corner in ((left, y, z), (right, y, z), (right, y, top), (left, y, top))
    ]
    return plot.make_quads(np.stack(corners, 1), material(albedo=0.3, glow=rng.uniform(0.1, 0.7, len(x))))
