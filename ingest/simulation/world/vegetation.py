"""Procedural trees and bushes: a coarse solid mesh, and leaves or twigs that are drawn only nearby."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import (
    Floats,
    Ints,
    Mesh,
    empty_mesh,
    join_meshes,
    make_copies,
    material,
    normalise,
)
from spikewatch.ingest.simulation.geometry.shapes import make_blob, make_quads, make_tubes

TREE_SPECIES = ("leafy", "bare", "conifer", "slim", "bush")


@dataclass(frozen=True, slots=True)
class Tree:
    """Meshes of a tree; height_m, crown_m (radius) and dense determine its shadow."""

    solid: Mesh
    detail: Mesh
    height_m: float
    crown_m: float
    dense: bool


def make_tree(rng: np.random.Generator, species: str, leaf_layers: list[int], bark_layer: int) -> Tree:
    """Make a tree of a species in TREE_SPECIES, with its trunk at the origin."""
    leaf = material(int(rng.choice(leaf_layers)), rng.uniform(0.2, 0.75))
    bark = material(bark_layer, rng.uniform(0.06, 0.3))
    if species == "conifer":
        return _make_conifer(rng, leaf, bark)
    if species == "bush":
        lumps = [
            _make_foliage_blob(
                rng, leaf, rng.normal(0, 0.3, 3) * [1, 1, 0] + [0, 0, 0.5], rng.uniform(0.4, 0.7)
            )
            for _ in range(3)
        ]
        return Tree(
            join_meshes(lumps),
            _make_leaf_quads(rng, leaf, np.zeros((1, 3)) + np.array([0, 0, 0.6]), 0.7, 16),
            1.2,
            0.9,
            True,
        )
    height = rng.uniform(4.5, 11)
    starts, ends, radii = _grow_branches(rng, height, slim=species == "slim")
    thick = radii > np.quantile(radii, 0.75 if species == "bare" else 0.8)
    wood = make_tubes(starts[thick], ends[thick], radii[thick], radii[thick] * 0.6, bark, 5)
    crown = height * (0.14 if species == "slim" else rng.uniform(0.22, 0.34))
    if species == "bare":
        fine = make_tubes(starts[~thick], ends[~thick], radii[~thick], radii[~thick] * 0.4, bark, 3)
        return Tree(wood, fine, height, crown, False)
    tips = ends[rng.choice(len(ends), 8 if species == "leafy" else 5, replace=False)]
    tips[:, 2] = np.clip(tips[:, 2], 0.45 * height, 0.88 * height)
    lumps = [_make_foliage_blob(rng, leaf, tip, crown * rng.uniform(0.4, 0.7)) for tip in tips]
    return Tree(
        join_meshes([wood, *lumps]), _make_leaf_quads(rng, leaf, tips, crown * 0.7, 90), height, crown, True
    )


def place_trees(
    trees: list[Tree], species_index: Ints, positions: Floats, yaw: Floats, scale: Floats
) -> tuple[Mesh, Mesh]:
    """Copy trees[species_index[k]] to positions[k] [N, 3]; return (solid, detail)."""
    solid, detail = [empty_mesh()], [empty_mesh()]
    for index, tree in enumerate(trees):
        is_species = species_index == index
        if is_species.any():
            solid.append(make_copies(tree.solid, positions[is_species], yaw[is_species], scale[is_species]))
            detail.append(make_copies(tree.detail, positions[is_species], yaw[is_species], scale[is_species]))
    return join_meshes(solid), join_meshes(detail)


def _grow_branches(rng: np.random.Generator, height: float, slim: bool) -> tuple[Floats, Floats, Floats]:
    """Sample trunk, boughs and twigs: starts and ends [N, 3], radii at the start [N]."""
    trunk = 0.02 * height * rng.uniform(0.6, 1.2)
    lean = rng.normal(0, 0.04, 2) * height
    top = np.array([lean[0], lean[1], height * 0.75])
    starts, ends, radii = [np.zeros(3)], [top], [trunk]
    parents = [(np.zeros(3), top, trunk)]
    for count, length, angle in ((7, 0.34, 0.35 if slim else 0.9), (4, 0.2, 0.7), (2, 0.13, 0.9)):
        grown = []
        for start, end, radius in parents:
            share = rng.uniform(0.45, 1.0, count)[:, None]
            roots = start + (end - start) * share
            direction = normalise(normalise(end - start) + angle * rng.normal(size=(count, 3)) + [0, 0, 0.15])
            tips = roots + direction * length * height * rng.uniform(0.6, 1.1, (count, 1))
            grown += [(root, tip, radius * 0.45) for root, tip in zip(roots, tips, strict=True)]
        starts += [branch[0] for branch in grown]
        ends += [branch[1] for branch in grown]
        radii += [branch[2] for branch in grown]
        parents = grown
    return np.array(starts), np.array(ends), np.maximum(np.array(radii), 0.012)


def _make_conifer(rng: np.random.Generator, leaf: Floats, bark: Floats) -> Tree:
    height, crown, tiers = rng.uniform(4, 9), rng.uniform(1.1, 2.0), int(rng.integers(3, 6))
    z = np.linspace(0.12, 0.75, tiers) * height
    cones = make_tubes(
        np.stack([0 * z, 0 * z, z], 1), np.stack([0 * z, 0 * z, z + 0.4 * height], 1),
        crown * (1.05 - z / height), 0.02, leaf, 8,
    )  # fmt: skip
    vertices = cones.vertices.copy()
    vertices[:, :3] += rng.normal(0, 0.08, (len(vertices), 3))
    trunk = make_tubes([[0, 0, 0]], [[0, 0, 0.3 * height]], 0.12, 0.1, bark, 5)
    centres = np.stack([0 * z, 0 * z, z + 0.1 * height], 1)
    return Tree(
        join_meshes([Mesh(vertices, cones.faces), trunk]),
        _make_leaf_quads(rng, leaf, centres, crown * 0.8, 40),
        height,
        crown,
        True,
    )


def _make_foliage_blob(rng: np.random.Generator, leaf: Floats, centre: Floats, radius: float) -> Mesh:
    ball = make_blob(rng, leaf, 0.16, 6, 4)
    vertices = ball.vertices.copy()
    vertices[:, :3] = ball.points * radius * rng.uniform([0.9, 0.9, 0.6], [1.3, 1.3, 0.95]) + centre
    return Mesh(vertices, ball.faces)


def _make_leaf_quads(
    rng: np.random.Generator, leaf: Floats, centres: Floats, radius: float, count: int
) -> Mesh:
    """Make leaves that break up the outline: small quads around centres [M, 3]."""
    direction = normalise(rng.normal(size=(count, 3)))
    positions = centres[rng.integers(0, len(centres), count)] + direction * radius * rng.uniform(
        0.7, 1.15, (count, 1)
    )
    first = normalise(np.cross(direction, rng.normal(size=(count, 3)))) * rng.uniform(0.08, 0.35, (count, 1))
    second = normalise(rng.normal(size=(count, 3))) * rng.uniform(0.05, 0.3, (count, 1))
    corners = np.stack([positions - first, positions - second, positions + first, positions + second], 1)
    tones = np.broadcast_to(leaf, (count, 4)).copy()
    tones[:, 1] *= rng.uniform(0.6, 1.5, count)
    return make_quads(corners, tones, np.array([[0, 0], [0.3, 0], [0.3, 0.3], [0, 0.3]]), both_sides=True)
