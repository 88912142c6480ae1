"""Procedural lorries and buses, which occlude other actors. Not labelled, as in Gen1."""

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import Body, make_rigid_body
from spikewatch.ingest.simulation.geometry.mesh import Mesh, join_meshes, material
from spikewatch.ingest.simulation.geometry.shapes import make_boxes, make_discs, make_quads, make_tubes
from spikewatch.ingest.simulation.world.light import VehicleLights

_DARK = material(albedo=0.03)
_GLASS = material(albedo=0.03, gloss=1.0)


def make_truck(rng: np.random.Generator, poster_layer: int, lights: VehicleLights) -> Body:
    """Make a lorry: a cab with a high box with lettering, or a low load."""
    length, width, height = rng.uniform(6.5, 12.5), rng.uniform(2.3, 2.5), rng.uniform(2.9, 3.9)
    cab_l, cab_h = rng.uniform(1.7, 2.3), min(height, rng.uniform(2.5, 3.3))
    nose, tail = length / 2, -length / 2
    cab = material(albedo=rng.choice([0.1, 0.3, 0.6, 0.8]), gloss=0.4)
    box = material(poster_layer, rng.uniform(0.4, 0.9), gloss=0.15)
    load_l = length - cab_l - 0.35
    bases = [[nose - cab_l / 2, 0, 0.45], [tail + load_l / 2, 0, 1.0], [0, 0, 0.55]]
    sizes = [[cab_l, width, cab_h - 0.45], [load_l, width, height - 1.0], [length - 0.6, width * 0.8, 0.45]]
    uv = [[0.3, 0.3], [1 / load_l, 1 / (height - 1.0)], [0.3, 0.3]]
    if rng.random() < 0.25:
        sizes[1][2] = rng.uniform(0.8, 1.4)
    meshes = [make_boxes(bases, sizes, np.stack([cab, box, _DARK]), uv_per_m=uv, sides=6)]
    x, z, t = nose + 0.01, 0.55 * cab_h, cab_h - 0.25
    screen = [[x, -0.46 * width, z], [x, 0.46 * width, z], [x, 0.46 * width, t], [x, -0.46 * width, t]]
    meshes.append(make_quads([screen], _GLASS))
    for side in (-1, 1):
        a, b = nose - 0.25, nose - 0.7 * cab_l
        y = side * (width / 2 + 0.01)
        pane = [[b, y, z + 0.1], [a, y, z + 0.1], [a, y, t], [b, y, t]]
        meshes.append(make_quads([pane if side < 0 else pane[::-1]], _GLASS))
    meshes.append(_make_lights(nose, tail, width, 0.75, lights))
    axles = [nose - 0.9, tail + 1.6] + ([tail + 2.9] if length > 8.5 else [])
    return make_rigid_body(
        join_meshes([*meshes, _make_wheels(axles, width, 0.48)]), (length, width, height), is_car=False
    )


def make_bus(rng: np.random.Generator, poster_layer: int, lights: VehicleLights) -> Body:
    """Make a city bus: a band of windows all around, doors on the right."""
    length, width, height = rng.uniform(9.5, 12.5), 2.5, rng.uniform(2.9, 3.3)
    skin = material(albedo=rng.choice([0.2, 0.4, 0.7, 0.85]), gloss=0.35)
    low = material(poster_layer if rng.random() < 0.4 else 0, rng.uniform(0.15, 0.8), gloss=0.3)
    bases = [[0, 0, 0.3], [0, 0, 1.15], [0, 0, height - 0.6]]
    sizes = [[length, width, 0.85], [length - 0.08, width - 0.06, height - 1.75], [length, width, 0.6]]
    uv = [[2 / length, 1], [0.3, 0.3], [0.3, 0.3]]
    meshes = [make_boxes(bases, sizes, np.stack([low, _GLASS, skin]), uv_per_m=uv, sides=6)]
    posts = np.arange(-length / 2 + 0.5, length / 2 - 0.6, rng.uniform(1.2, 2.0))
    post_bases = [[x, side * (width / 2 - 0.02), 1.15] for x in posts for side in (-1, 1)]
    meshes.append(make_boxes(post_bases, [[0.14, 0.06, height - 1.75]], skin))
    doors = [[x, -width / 2, 0.35] for x in (length / 2 - 0.9, -0.2)]
    meshes.append(make_boxes(doors, [[1.1, 0.04, 2.0]], _GLASS))
    board = material(albedo=0.05, glow=0.2 + 0.3 * lights.tail)
    meshes.append(make_boxes([[length / 2, 0, height - 0.5]], [[0.04, 1.6, 0.3]], board))
    meshes.append(_make_lights(length / 2, -length / 2, width, 0.7, lights))
    wheels = _make_wheels([length / 2 - 2.6, -length / 2 + 3.0], width, 0.48)
    return make_rigid_body(join_meshes([*meshes, wheels]), (length, width, height), is_car=False)


def _make_lights(nose: float, tail: float, width: float, z: float, lights: VehicleLights) -> Mesh:
    positions = []
    materials = []
    for side in (-1, 1):
        positions += [[nose + 0.01, side * 0.4 * width, z], [tail - 0.01, side * 0.42 * width, z + 0.2]]
        materials += [material(albedo=0.7, glow=lights.head), material(albedo=0.1, glow=lights.tail)]
    return make_boxes(positions, [[0.04, 0.3, 0.18]], np.stack(materials))


def _make_wheels(axles: list[float], width: float, radius: float) -> Mesh:
    hubs = np.array([[x, side * width / 2 * 1.005, radius] for x in axles for side in (-1, 1)])
    outward = np.sign(hubs[:, 1:2]) * [[0.0, 1, 0]]
    tyres = make_tubes(hubs - 0.5 * outward, hubs, radius, radius, _DARK, 12)
    faces = make_discs(hubs, outward, radius, _DARK, 12)
    return join_meshes(
        [tyres, faces, make_discs(hubs + 0.01 * outward, outward, 0.55 * radius, material(albedo=0.3), 10)]
    )
