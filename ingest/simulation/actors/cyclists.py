"""Two-wheelers: bicycles and motor scooters with their riders. They get no label, as in Gen1."""

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import Body, with_normals
from spikewatch.ingest.simulation.actors.gait import PHASES
from spikewatch.ingest.simulation.actors.pedestrians import dress, make_figure
from spikewatch.ingest.simulation.geometry.mesh import Mesh, join, paint
from spikewatch.ingest.simulation.geometry.shapes import boxes, discs, tubes


def make_cyclist(rng: np.random.Generator, cloth_layers: list[int], scooter: bool) -> Body:
    """A rider on a bicycle, or on a motor scooter."""
    rider = dress(rng, make_figure(rng, "ride"), cloth_layers)
    mesh = rider.levels[0]
    points = rider.cycles[0][:, :, :3].copy()
    if scooter:
        points[:] = points[:1] - [0.1, 0, 0.12]
        machine, length = _scooter(rng), 1.8
    else:
        machine, length = _bicycle(rng), 1.75
    whole = join(
        [Mesh(np.concatenate([points[0], mesh.vertices[:, 3:]], 1).astype(np.float32), mesh.faces), machine]
    )
    still = np.broadcast_to(machine.points, (PHASES, *machine.points.shape))
    cycle = with_normals(np.concatenate([points, still], 1), whole)
    height = float(whole.points[:, 2].max())
    return Body((whole,), (length, 0.6, height), cycles=(cycle,), stride_m=rider.stride_m)


def _bicycle(rng: np.random.Generator) -> Mesh:
    frame, dark = paint(albedo=rng.choice([0.05, 0.2, 0.5, 0.8])), paint(albedo=0.03)
    radius, reach = 0.34, 0.54
    angle = np.arange(13) * 2 * np.pi / 12
    parts = []
    for x in (-reach, reach):
        rim = np.stack([x + radius * np.cos(angle), 0 * angle, radius + radius * np.sin(angle)], -1)
        parts.append(tubes(rim[:-1], rim[1:], 0.022, 0.022, dark, 3))
        spokes = np.stack([rim[:6], rim[6:12]], 0)
        parts.append(tubes(spokes[0], spokes[1], 0.006, 0.006, paint(albedo=0.4), 3))
    pedals, seat, head = [-0.08, 0, 0.3], [-0.22, 0, 0.93], [0.36, 0, 0.92]
    starts = [pedals, pedals, seat, [-reach, 0, radius], [-reach, 0, radius], head, [0.38, -0.28, 1.02]]
    ends = [seat, head, head, pedals, seat, [reach, 0, radius], [0.38, 0.28, 1.02]]
    parts.append(tubes(starts, ends, 0.02, 0.02, frame, 4))
    parts.append(boxes([[-0.24, 0, 0.92]], [[0.26, 0.14, 0.06]], dark, sides=6))
    return join(parts)


def _scooter(rng: np.random.Generator) -> Mesh:
    body, dark = paint(albedo=rng.choice([0.05, 0.2, 0.5, 0.8]), gloss=0.15), paint(albedo=0.03)
    sides = np.array([[-0.62, 0.07, 0.25], [0.62, 0.07, 0.25]])
    wheels = [tubes(sides * [1, -1, 1], sides, 0.25, 0.25, dark, 10)]
    wheels += [discs(sides * [1, sign, 1], [0, sign, 0], 0.25, dark, 10) for sign in (-1, 1)]
    bases = [[-0.45, 0, 0.35], [0.0, 0, 0.22], [0.42, 0, 0.3], [-0.3, 0, 0.72], [0.5, 0, 0.9]]
    sizes = [[0.75, 0.34, 0.38], [0.6, 0.3, 0.1], [0.16, 0.38, 0.62], [0.6, 0.28, 0.1], [0.1, 0.2, 0.16]]
    shell = boxes(bases, sizes, body, sides=6)
    return join([*wheels, shell, tubes([[0.42, -0.3, 1.0]], [[0.42, 0.3, 1.0]], 0.02, 0.02, dark, 4)])
