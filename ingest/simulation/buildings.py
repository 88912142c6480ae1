"""Houses from boxes: blocks in a row, shops, detached houses; nearly every measure is drawn.

A building's own frame: x along the street, y away from it, its front at y = 0.
"""

from dataclasses import dataclass, field

import numpy as np

from ingest.simulation.mesh import Floats, Mesh, join, nothing, paint, turned
from ingest.simulation.shapes import boxes, sheets


@dataclass(frozen=True, slots=True)
class HouseLayers:
    """Texture layers that buildings choose from."""

    facades: tuple[int, ...]
    shops: tuple[int, ...]
    roofs: tuple[int, ...]
    walls: tuple[int, ...]


@dataclass(slots=True)
class Built:
    """Boxes gathered from many buildings, to be made into meshes at once."""

    solid: list[tuple[Floats, ...]] = field(default_factory=list)
    detail: list[tuple[Floats, ...]] = field(default_factory=list)
    sheets: list[Mesh] = field(default_factory=list)

    def meshes(self) -> tuple[Mesh, Mesh]:
        """(solid, detail)."""
        return join([_as_mesh(self.solid), *self.sheets]), _as_mesh(self.detail)


@dataclass(frozen=True, slots=True)
class Plot:
    """Where a building stands: the middle of its front [3], the yaw of its x axis, its width, and whether it is night."""

    at: Floats
    yaw: float
    width_m: float
    night: bool


def add_block(rng: np.random.Generator, built: Built, plot: Plot, layers: HouseLayers, floors: int) -> float:
    """A town house of several floors, with a shop or without; returns its height."""
    width, depth, floor_m = plot.width_m, rng.uniform(8, 14), rng.uniform(2.7, 3.6)
    tone, facade = rng.uniform(0.35, 0.9), int(rng.choice(layers.facades))
    has_shop = rng.random() < 0.5
    first = rng.uniform(3.2, 4.4) if has_shop else floor_m * rng.uniform(0.9, 1.2)
    height = first + floor_m * (floors - 1)
    module = rng.uniform(2.6, 6.0)
    repeat = (max(1, round(width / module)) / width, 1 / (floor_m * rng.choice([1, 1, 2])))
    rows = [_row((0, depth / 2, 0), (width, depth, height), facade, tone, repeat)]
    low = int(rng.choice(layers.shops if has_shop else layers.walls))
    shop_u = max(1, round(width / rng.uniform(3.5, 7))) / width
    rows.append(_row((0, 0.05, -0.6), (width, 0.2, first + 0.6), low, rng.uniform(0.4, 0.95), (shop_u, 1 / (first + 0.6))))
    trim = rng.uniform(0.3, 0.9)
    rows.append(_row((0, 0.0, height - 0.1), (width + 0.2, 0.7, rng.uniform(0.3, 0.8)), 0, trim, (1, 1)))
    if rng.random() < 0.35:
        back = rng.uniform(1, 3)
        rows.append(_row((0, depth / 2 + back, height), (width * 0.9, depth - back, 2.8), facade, tone * 0.9, repeat))
    built.solid.append(_placed(rows, plot))
    built.detail.append(_placed(_ornaments(rng, width, height, first, floors, floor_m, has_shop), plot))
    if rng.random() < 0.4:
        built.sheets.append(_gable(rng, plot, (width, depth), height, rng.uniform(1.5, 4), int(rng.choice(layers.roofs))))
    if plot.night:
        built.sheets.append(_lit_panes(rng, plot, (width, height), first, floor_m))
    return float(height + 0.5)


def add_house(rng: np.random.Generator, built: Built, plot: Plot, layers: HouseLayers) -> float:
    """A detached house with a roof, a door, windows, a chimney and perhaps a garage; returns its height."""
    width, depth = plot.width_m, rng.uniform(7, 11)
    wall_h = rng.uniform(2.8, 6.2)
    tone, facade = rng.uniform(0.4, 0.95), int(rng.choice(layers.facades))
    repeat = (max(1, round(width / rng.uniform(4, 7))) / width, 1 / (wall_h / max(1, round(wall_h / 3))))
    rows = [_row((0, depth / 2, -0.5), (width, depth, wall_h + 0.5), facade, tone, repeat)]
    if rng.random() < 0.4:
        x = rng.choice([-1, 1]) * (width / 2 + 1.6)
        rows.append(_row((x, depth / 2 + 1, -0.5), (3.2, 6, 3.1), int(rng.choice(layers.walls)), tone, (0.5, 0.5)))
        rows.append(_row((x, 2.0, 0), (2.5, 0.1, 2.1), int(rng.choice(layers.roofs)), rng.uniform(0.2, 0.9), (0.4, 0.5)))
    built.solid.append(_placed(rows, plot))
    rise = rng.uniform(1.5, 4)
    built.sheets.append(_gable(rng, plot, (width, depth), wall_h, rise, int(rng.choice(layers.roofs))))
    x = rng.uniform(-0.35, 0.35) * width
    detail = [_row((x, -0.06, 0), (1.05, 0.12, 2.1), 0, rng.choice([0.05, 0.15, 0.4, 0.8]), (1, 1)),
              _row((x, -0.6, 2.25), (1.8, 1.2, 0.12), 0, rng.uniform(0.2, 0.8), (1, 1)),
              _row((x, -0.4, -0.1), (1.6, 1.0, 0.2), 0, 0.5, (1, 1)),
              _row((rng.uniform(-0.4, 0.4) * width, depth / 2, wall_h + 0.5 * rise), (0.7, 0.7, rise), int(rng.choice(layers.walls)), 0.5, (1, 1))]  # fmt: skip
    built.detail.append(_placed(detail, plot))
    if plot.night:
        built.sheets.append(_lit_panes(rng, plot, (width, wall_h), 0.3, 2.8))
    return float(wall_h + rise)


def add_backdrop(rng: np.random.Generator, built: Built, plot: Plot, layers: HouseLayers) -> None:
    """A tall block behind the first row, for an uneven skyline."""
    width, depth, height = rng.uniform(10, 25), rng.uniform(10, 18), rng.uniform(10, 38)
    facade = int(rng.choice(layers.facades))
    row = _row((0, depth / 2, -1), (width, depth, height), facade, rng.uniform(0.3, 0.8), (1 / 6, 1 / 6))
    built.solid.append(_placed([row], plot))


def add_wall(rng: np.random.Generator, built: Built, plot: Plot, layer: int, height: float, thick: float) -> None:
    """A garden wall, a hedge or a noise barrier along the front, of uneven height."""
    count = max(1, int(plot.width_m / rng.uniform(1.2, 3)))
    each, tone = plot.width_m / count, rng.uniform(0.3, 0.8)
    heights = height * rng.uniform(0.85, 1.1, count) if rng.random() < 0.6 else np.full(count, height)
    rows = [
        _row(((index + 0.5) * each - plot.width_m / 2, thick / 2, -0.3), (each * 1.01, thick, heights[index] + 0.3), layer, tone, (0.6, 0.6))
        for index in range(count)
    ]  # fmt: skip
    built.solid.append(_placed(rows, plot))


Row = tuple[tuple[float, float, float], tuple[float, float, float], Floats, tuple[float, float]]


def _row(
    at: tuple[float, float, float], size: tuple[float, float, float], layer: int, albedo: float,
    repeat: tuple[float, float], glow: float = 0.0,
) -> Row:  # fmt: skip
    return at, size, paint(layer, albedo, glow), repeat


def _placed(rows: list[Row], plot: Plot) -> tuple[Floats, ...]:
    """Bases [N, 3] in the world, sizes [N, 3], paints [N, 4], yaws [N], repeats [N, 2]."""
    if not rows:
        return ()
    local, sizes, paints, repeats = (np.array([row[k] for row in rows], float) for k in range(4))
    return turned(local, plot.yaw) + plot.at, sizes, paints, np.full(len(rows), plot.yaw), repeats


def _as_mesh(placed: list[tuple[Floats, ...]]) -> Mesh:
    placed = [rows for rows in placed if rows]
    if not placed:
        return nothing()
    bases, sizes, paints, yaws, repeats = (np.concatenate([rows[k] for rows in placed]) for k in range(5))
    return boxes(bases, sizes, paints, yaws, repeats)


def _ornaments(
    rng: np.random.Generator, width: float, height: float, first: float, floors: int, floor_m: float, has_shop: bool
) -> list[Row]:  # fmt: skip
    """Balconies, sills, awnings, hanging signs, drain pipes, chimneys."""
    rows = []
    if rng.random() < 0.45:
        count = max(1, int(width / rng.uniform(2.5, 5)))
        deep, high, tone = rng.uniform(0.3, 1.2), rng.uniform(0.15, 1.0), rng.uniform(0.1, 0.9)
        for floor in range(floors - 1):
            for index in range(count):
                if rng.random() < 0.8:
                    x = (index + 0.5) * width / count - width / 2
                    z = first + floor * floor_m
                    rows.append(_row((x, -deep / 2, z), (width / count * 0.6, deep, high), 0, tone, (1, 1)))
    if has_shop and rng.random() < 0.5:
        deep = rng.uniform(0.6, 1.5)
        rows.append(_row((0, -deep / 2, first - 0.6), (width * rng.uniform(0.5, 0.95), deep, 0.15), 0, rng.uniform(0.1, 0.9), (1, 1)))
    for _ in range(rng.integers(0, 3) if has_shop else 0):
        rows.append(_row((rng.uniform(-0.45, 0.45) * width, -0.5, first - 0.9), (0.12, 0.7, 0.7), 0, rng.uniform(0.1, 1), (1, 1)))
    if rng.random() < 0.5:
        rows.append(_row((width / 2 - 0.2, -0.06, 0), (0.12, 0.12, height), 0, rng.uniform(0.1, 0.7), (1, 1)))
    for _ in range(rng.integers(0, 4)):
        size = rng.uniform(0.5, 1.2, 2)
        rows.append(_row((rng.uniform(-0.4, 0.4) * width, rng.uniform(2, 7), height), (size[0], 0.8, 0.6 + size[1]), 0, 0.35, (1, 1)))
    for floor in range(1, floors if rng.random() < 0.4 else 0):
        rows.append(_row((0, -0.04, first + (floor - 1) * floor_m), (width, 0.16, 0.18), 0, rng.uniform(0.4, 0.9), (1, 1)))
    return rows


def _gable(
    rng: np.random.Generator, plot: Plot, base: tuple[float, float], height: float, rise: float, layer: int
) -> Mesh:  # fmt: skip
    """A saddle roof, its ridge along the street or across it."""
    width, depth = base
    a, b, over = width / 2 + 0.3, depth + 0.4, -0.4
    tone = rng.uniform(0.15, 0.6)
    if rng.random() < 0.6:
        mid = depth / 2
        quads = [[[-a, over, height], [a, over, height], [a, mid, height + rise], [-a, mid, height + rise]],
                 [[a, b, height], [-a, b, height], [-a, mid, height + rise], [a, mid, height + rise]]]  # fmt: skip
        ends = [[[-a + 0.3, b, height], [-a + 0.3, over, height], [-a + 0.3, mid, height + rise], [-a + 0.3, mid, height + rise]],
                [[a - 0.3, over, height], [a - 0.3, b, height], [a - 0.3, mid, height + rise], [a - 0.3, mid, height + rise]]]  # fmt: skip
    else:
        quads = [[[a, over, height], [a, b, height], [0, b, height + rise], [0, over, height + rise]],
                 [[-a, b, height], [-a, over, height], [0, over, height + rise], [0, b, height + rise]]]  # fmt: skip
        ends = [[[-a, 0, height], [a, 0, height], [0, 0, height + rise], [0, 0, height + rise]]]
    tiles = np.array([[0, 0], [width / 3, 0], [width / 3, 2], [0, 2]])
    roof = sheets(turned(np.array(quads), plot.yaw) + plot.at, paint(layer, tone), tiles)
    gable = sheets(turned(np.array(ends), plot.yaw) + plot.at, paint(albedo=rng.uniform(0.3, 0.8)))
    return join([roof, gable])


def _lit_panes(rng: np.random.Generator, plot: Plot, size: tuple[float, float], first: float, floor_m: float) -> Mesh:
    """Windows that glow at night, and lit shop fronts."""
    width, height = size
    count = int(rng.integers(0, max(2, int(width * height / 25))))
    columns, floors = max(1, int(width / 2.2)), max(1, int((height - first) / floor_m))
    x = (rng.integers(0, columns, count) + 0.5) * width / columns - width / 2
    z = first + rng.integers(0, floors, count) * floor_m + 0.8
    wide, high = rng.uniform(0.6, 1.4), rng.uniform(0.8, 1.6)
    if first > 2.5 and rng.random() < 0.6:
        x, z = np.append(x, 0.0), np.append(z, 0.5)
        wides, highs = np.append(np.full(count, wide), width * 0.7), np.append(np.full(count, high), 2.0)
    else:
        wides, highs = np.full(count, wide), np.full(count, high)
    y = np.full(len(x), -0.09)
    corners = np.stack([np.stack([x - wides / 2, y, z], 1), np.stack([x + wides / 2, y, z], 1),
                        np.stack([x + wides / 2, y, z + highs], 1), np.stack([x - wides / 2, y, z + highs], 1)], 1)  # fmt: skip
    glow = rng.uniform(0.1, 0.7, len(x))
    return sheets(turned(corners, plot.yaw) + plot.at, paint(albedo=0.3, glow=glow))
