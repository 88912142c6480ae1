"""Writer of a mesh folder with two tiny meshes, in the format of `mesh_library`."""

import io

import numpy as np
from PIL import Image

from spikewatch.ingest.simulation.geometry.mesh import material
from spikewatch.ingest.simulation.geometry.shapes import make_boxes

PHASES = 24


def write_mesh_folder(folder):
    """Write a car of two boxes facing -y, one textured, and a walking person of three boxes."""
    write_car(folder / "hatchback.npz")
    write_person(folder / "pedestrian_0.npz")


def write_car(path):
    body = make_boxes([[0, 0, 0.3]], [[170, 400, 60]], material(), sides=6)
    cabin = make_boxes([[0, 40, 60]], [[150, 200, 80]], material(), sides=6)
    picture = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 180, np.uint8)).save(picture, "PNG")
    np.savez(
        path, **part(0, body), **part(1, cabin), texture_0=np.frombuffer(picture.getvalue(), np.uint8)
    )  # fmt: skip


def part(index, mesh):
    return {
        f"vertices_{index}": mesh.points.astype(np.float32),
        f"normals_{index}": (mesh.vertices[:, 3:6] * 127).astype(np.int8),
        f"uv_{index}": mesh.vertices[:, 6:8].astype(np.float16),
        f"faces_{index}": mesh.faces.astype(np.uint16),
        f"rgba_{index}": np.array([0.5, 0.5, 0.5, 1], np.float32),
    }


def write_person(path):
    bases = [[-0.1, 0, 0], [0.1, 0, 0], [0, 0, 0.8]]
    mesh = make_boxes(bases, [[0.15, 0.2, 0.8], [0.15, 0.2, 0.8], [0.4, 0.25, 0.9]], material(), sides=6)
    swing = 0.3 * np.sin(np.arange(PHASES) / PHASES * 2 * np.pi)
    points = np.repeat(mesh.points[None], PHASES, axis=0)
    points[:, :24, 1] += swing[:, None]
    points[:, 24:48, 1] -= swing[:, None]
    regions = np.repeat([1, 1, 3], 24).astype(np.uint8)
    np.savez(path, vertices=points.astype(np.float16), faces=mesh.faces.astype(np.uint16), region=regions)
