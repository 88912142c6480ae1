"""Procedural two-wheelers: bicycles and motor scooters with riders. Not labelled, as in Gen1."""

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import Body, add_normals
from spikewatch.ingest.simulation.actors.gait import CYCLE_PHASES
from spikewatch.ingest.simulation.actors.pedestrians import apply_clothes, make_figure
from spikewatch.ingest.simulation.geometry.mesh import Mesh, join_meshes, material
from spikewatch.ingest.simulation.geometry.shapes import make_boxes, make_discs, make_tubes


def make_cyclist(rng: np.random.Generator, cloth_layers: list[int], scooter: bool) -> Body:
    """Make a rider on a bicycle, or on a motor scooter."""
    rider = apply_clothes(rng, make_figure(rng, "ride"), cloth_layers)
    mesh = rider.levels[0]
    points = rider.cycles[0][:, :, :3].copy()
    if scooter:
        points[:] = points[:1] - [0.1, 0, 0.12]
        vehicle, length = _make_scooter(rng), 1.8
    else:
        vehicle, length = _make_bicycle(rng), 1.75
    combined = join_meshes(
        [Mesh(np.concatenate([points[0], mesh.vertices[:, 3:]], 1).astype(np.float32), mesh.faces), vehicle]
    )
    vehicle_points = np.broadcast_to(vehicle.points, (CYCLE_PHASES, *vehicle.points.shape))
    cycle = add_normals(np.concatenate([points, vehicle_points], 1), combined)
    height = float(combined.points[:, 2].max())
    return Body((combined,), (length, 0.6, height), cycles=(cycle,), stride_m=rider.stride_m)


def _make_bicycle(rng: np.random.Generator) -> Mesh:
    frame, dark = material(albedo=rng.choice([0.05, 0.2, 0.5, 0.8])), material(albedo=0.03)
    radius, reach = 0.34, 0.54
    angle = np.arange(13) * 2 * np.pi / 12
    meshes = []
    for x in (-reach, reach):
        rim = np.stack([x + radius * np.cos(angle), 0 * angle, radius + radius * np.sin(angle)], -1)
        meshes.append(make_tubes(rim[:-1], rim[1:], 0.022, 0.022, dark, 3))
        spokes = np.stack([rim[:6], rim[6:12]], 0)
        meshes.append(make_tubes(spokes[0], spokes[1], 0.006, 0.006, material(albedo=0.4), 3))
    pedals, seat, head = [-0.08, 0, 0.3], [-0.22, 0, 0.93], [0.36, 0, 0.92]
    starts = [pedals, pedals, seat, [-reach, 0, radius], [-reach, 0, radius], head, [0.38, -0.28, 1.02]]
    ends = [seat, head, head, pedals, seat, [reach, 0, radius], [0.38, 0.28, 1.02]]
    meshes.append(make_tubes(starts, ends, 0.02, 0.02, frame, 4))
    meshes.append(make_boxes([[-0.24, 0, 0.92]], [[0.26, 0.14, 0.06]], dark, sides=6))
    return join_meshes(meshes)


def _make_scooter(rng: np.random.Generator) -> Mesh:
    body, dark = material(albedo=rng.choice([0.05, 0.2, 0.5, 0.8]), gloss=0.15), material(albedo=0.03)
    sides = np.array([[-0.62, 0.07, 0.25], [0.62, 0.07, 0.25]])
    wheels = [make_tubes(sides * [1, -1, 1], sides, 0.25, 0.25, dark, 10)]
    wheels += [make_discs(sides * [1, sign, 1], [0, sign, 0], 0.25, dark, 10) for sign in (-1, 1)]
    bases = [[-0.45, 0, 0.35], [0.0, 0, 0.22], [0.42, 0, 0.3], [-0.3, 0, 0.72], [0.5, 0, 0.9]]
    sizes = [[0.75, 0.34, 0.38], [0.6, 0.3, 0.1], [0.16, 0.38, 0.62], [0.6, 0.28, 0.1], [0.1, 0.2, 0.16]]
    shell = make_boxes(bases, sizes, body, sides=6)
    return join_meshes(
        [*wheels, shell, make_tubes([[0.42, -0.3, 1.0]], [[0.42, 0.3, 1.0]], 0.02, 0.02, dark, 4)]
    )
