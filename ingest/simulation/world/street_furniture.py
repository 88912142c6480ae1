"""Procedural street furniture: lamps, traffic lights, signs, bollards, bins, benches, shelters, fences."""

import numpy as np
from numpy.typing import ArrayLike

from spikewatch.ingest.simulation.geometry.mesh import (
    Floats,
    Mesh,
    empty_mesh,
    join_meshes,
    make_copies,
    material,
)
from spikewatch.ingest.simulation.geometry.shapes import make_boxes, make_quads, make_tubes

FURNITURE_TYPES = ("sign", "bollard", "bin", "bench", "cabinet", "planter", "rack", "column", "table")


def make_street_lamp(rng: np.random.Generator, lit: bool) -> tuple[Mesh, Floats]:
    """Make a street lamp whose arm points along +y; return it and the position of its light [3]."""
    height, reach = rng.uniform(4.5, 9), rng.uniform(0.0, 2.2)
    post = material(albedo=rng.choice([0.05, 0.15, 0.35, 0.6]))
    meshes = [make_tubes([[0, 0, 0]], [[0, 0, height]], rng.uniform(0.07, 0.11), 0.05, post, 6)]
    if reach > 0.3:
        meshes.append(make_tubes([[0, 0, height - 0.2]], [[0, reach, height + 0.1]], 0.04, 0.03, post, 4))
    head = material(albedo=0.5, glow=6.0 if lit else 0.0)
    meshes.append(make_boxes([[0, reach, height - 0.1]], [[0.25, 0.6, 0.14]], head, sides=6))
    return join_meshes(meshes), np.array([0, reach, height - 0.3])


def make_traffic_light(rng: np.random.Generator) -> Mesh:
    """Make a traffic light that faces +x, with one lamp on."""
    post, case = material(albedo=0.12), material(albedo=0.04)
    on = rng.integers(3)
    lamps = [material(albedo=0.1, glow=1.5 if index == on else 0.0) for index in range(3)]
    heads = make_boxes(
        [[0.13, 0, 2.45 + 0.28 * index] for index in range(3)], [[0.03, 0.2, 0.2]], np.stack(lamps)
    )
    return join_meshes(
        [
            make_tubes([[0, 0, 0]], [[0, 0, 3.3]], 0.06, 0.06, post, 6),
            make_boxes([[0, 0, 2.35]], [[0.24, 0.32, 0.95]], case),
            heads,
        ]
    )


def make_furniture(rng: np.random.Generator, type_name: str, sign_layers: list[int], leaf_layer: int) -> Mesh:
    """Make street furniture of a type in FURNITURE_TYPES; its front faces +x."""
    tone = material(albedo=rng.choice([0.06, 0.15, 0.3, 0.6]))
    if type_name == "sign":
        return _make_sign(rng, int(rng.choice(sign_layers)))
    if type_name == "bollard":
        high = rng.uniform(0.7, 1.1)
        cap = make_boxes([[0, 0, high - 0.2]], [[0.17, 0.17, 0.08]], material(albedo=0.8))
        return join_meshes([make_tubes([[0, 0, 0]], [[0, 0, high]], 0.07, 0.06, tone, 6, caps=True), cap])
    if type_name == "column":
        wide, top = rng.uniform(0.5, 0.75), np.array([[0, 0, rng.uniform(2.4, 3.4)]])
        return make_tubes(
            [[0, 0, 0]], top, wide, wide, material(int(rng.choice(sign_layers)), 0.8), 10, caps=True
        )
    if type_name == "bin":
        return make_boxes([[0, 0, 0.1]], [[0.5, 0.5, rng.uniform(0.8, 1.2)]], tone)
    if type_name == "cabinet":
        return make_boxes([[0, 0, 0]], rng.uniform([[0.4, 0.6, 0.9]], [[0.4, 1.6, 1.5]]), tone)
    if type_name == "planter":
        materials, sizes = np.stack([tone, material(leaf_layer, 0.3)]), [[0.7, 1.4, 0.5], [0.6, 1.3, 0.5]]
        return make_boxes(np.array([[0, 0, 0], [0, 0, 0.5]]), sizes, materials)
    makers = {"bench": _make_bench, "rack": _make_bicycle_rack, "table": _make_cafe_tables}
    return makers[type_name](rng, tone)


def _make_bench(rng: np.random.Generator, tone: Floats) -> Mesh:
    long = rng.uniform(1.4, 2.2)
    bases = np.array([[0, -0.35 * long, 0], [0, 0.35 * long, 0], [0, 0, 0.45], [-0.22, 0, 0.5]])
    sizes = np.array([[0.4, 0.08, 0.45], [0.4, 0.08, 0.45], [0.45, long, 0.06], [0.06, long, 0.45]])
    return make_boxes(bases, sizes, tone, sides=6)


def _make_bicycle_rack(rng: np.random.Generator, tone: Floats) -> Mesh:
    y = np.arange(int(rng.integers(2, 6))) * 0.8
    posts = [[x, rack_y, 0] for rack_y in y for x in (-0.4, 0.4)]
    rails = [[0, rack_y, 0.75] for rack_y in y]
    return join_meshes(
        [make_boxes(posts, [[0.04, 0.04, 0.75]], tone), make_boxes(rails, [[0.84, 0.04, 0.04]], tone)]
    )


def _make_cafe_tables(rng: np.random.Generator, tone: Floats) -> Mesh:
    positions = rng.uniform(-1, 1, (4, 3)) * [0.9, 0.9, 0]
    tops = positions + np.array([0, 0, 0.7])
    legs = make_boxes(positions, [[0.06, 0.06, 0.7]], tone)
    chairs = make_boxes(positions + np.array([0.6, 0, 0]), [[0.4, 0.4, 0.85]], material(albedo=0.25))
    return join_meshes([legs, make_boxes(tops, [[0.65, 0.65, 0.04]], tone), chairs])


def make_bus_shelter(rng: np.random.Generator, poster_layer: int) -> Mesh:
    """Make a bus shelter that is open towards +x."""
    long, post = rng.uniform(2.5, 4.5), material(albedo=0.1)
    posts = [[x, y, 0] for x in (-0.7, 0.7) for y in (-long / 2, long / 2)]
    side = make_boxes([[0, -long / 2, 0.2]], [[1.3, 0.1, 1.9]], material(poster_layer, 0.8))
    back = make_boxes([[-0.7, 0, 0.3]], [[0.04, long, 1.7]], material(albedo=0.2))
    roof = make_boxes([[0, 0, 2.3]], [[1.7, long + 0.3, 0.12]], material(albedo=0.3), sides=6)
    return join_meshes([make_boxes(posts, [[0.08, 0.08, 2.3]], post), side, back, roof])


def make_fence(
    points: Floats, height_m: float, rails: int, materials: Floats, thickness_m: float = 0.06
) -> Mesh:
    """Make posts at points [N, 3] with rails: a garden fence or, low and wide, a crash barrier."""
    if len(points) < 2:
        return empty_mesh()
    posts = make_boxes(
        points - [0, 0, 0.2], [[thickness_m * 1.4, thickness_m * 1.4, height_m + 0.2]], materials
    )
    starts, ends = points[:-1], points[1:]
    meshes = [posts]
    for level in np.linspace(height_m, height_m * 0.35, rails):
        low, high = [0, 0, level - thickness_m], [0, 0, level + thickness_m]
        quads = np.stack([starts + low, ends + low, ends + high, starts + high], 1)
        meshes.append(make_quads(quads, materials, both_sides=True))
    return join_meshes(meshes)


def make_wires(tops: Floats, materials: Floats) -> Mesh:
    """Make two sagging wires from pole to pole, tops [N, 3]."""
    meshes = []
    for off in (-0.5, 0.5):
        share = np.linspace(0, 1, 5)[None, :, None]
        wire = tops[:-1, None] + (tops[1:, None] - tops[:-1, None]) * share + [0, 0, off * 0.3]
        wire = wire - np.array([0, 0, 1.2]) * 4 * share * (1 - share)
        meshes.append(
            make_tubes(wire[:, :-1].reshape(-1, 3), wire[:, 1:].reshape(-1, 3), 0.025, 0.025, materials, 3)
        )
    return join_meshes(meshes)


def scatter_copies(mesh: Mesh, positions: Floats, yaw: ArrayLike) -> Mesh:
    """Copy a mesh to positions [N, 3]; N may be 0."""
    return make_copies(mesh, positions, yaw) if len(positions) else empty_mesh()


def _make_sign(rng: np.random.Generator, layer: int) -> Mesh:
    height, wide = rng.uniform(1.9, 3.2), rng.uniform(0.5, 1.0)
    high = wide * rng.choice([1.0, 0.7, 1.4])
    post = make_tubes([[0, 0, 0]], [[0, 0, height + high]], 0.03, 0.03, material(albedo=0.35), 4)
    a, b, x = wide / 2, height + high, 0.05
    front = [[x, -a, height], [x, a, height], [x, a, b], [x, -a, b]]
    back = [[x - 0.02, a, height], [x - 0.02, -a, height], [x - 0.02, -a, b], [x - 0.02, a, b]]
    return join_meshes(
        [post, make_quads([front, back], np.stack([material(layer, 0.9), material(albedo=0.3)]))]
    )
