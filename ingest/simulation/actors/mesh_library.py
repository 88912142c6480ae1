"""Mesh library: cars and pedestrians from a folder of meshes, resized and repainted for variety.

The folder has NumPy archives without pickles. A vehicle has, for each part i, `vertices_i` [V, 3],
`normals_i` [V, 3] int8 (127 is 1), `uv_i` [V, 2], `faces_i` [F, 3], `rgba_i` [4] and optionally `texture_i`,
the bytes of an image file. z is up, the vehicle faces -y (those in _BACKWARDS face +y), in any unit. A person
has `vertices` [24, V, 3] (metres, one walking cycle, facing -y), `faces` [F, 3] and `region` [V] (0 skin,
1 trousers, 2 shoes, 3 top, 4 hair).
"""

import functools
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.actors.bodies import Body, make_rigid_body, simplify_cycle
from spikewatch.ingest.simulation.actors.pedestrians import Figure, figure_from_cycle
from spikewatch.ingest.simulation.geometry.mesh import (
    Floats,
    Mesh,
    build_mesh,
    join_meshes,
    material,
    normalise,
)
from spikewatch.ingest.simulation.geometry.shapes import make_boxes
from spikewatch.ingest.simulation.world.light import VehicleLights
from spikewatch.ingest.simulation.world.textures import TEXTURE_PX, TextureArray

_CAR_LENGTHS_M = {"hatchback": 4.0, "suv": 4.7, "pickup": 5.2, "prius_hybrid": 4.5, "ambulance": 5.6}
"""Lengths in metres by file name; other vehicle files are ignored."""
_CAR_SHARES = {"hatchback": 3.0, "suv": 1.0, "pickup": 0.7, "prius_hybrid": 3.0, "ambulance": 0.5}
_BACKWARDS = ("suv", "pickup")
_VANS = ("ambulance",)
_STRIDE_PER_HEIGHT = 0.83
_LUMA = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True, slots=True)
class _MeshPart:
    vertices: Floats
    normals: Floats
    uv: Floats
    faces: NDArray[np.int32]
    albedo: float
    texture: Floats | None


class MeshLibrary:
    """Vehicles and pedestrians of a mesh folder."""

    def __init__(self, folder: Path) -> None:
        """Raises SimulationError if the folder has neither a known vehicle nor a pedestrian."""
        self.cars = sorted(path for path in folder.glob("*.npz") if path.stem in _CAR_LENGTHS_M)
        self.pedestrians = sorted(folder.glob("pedestrian_*.npz"))
        if not self.cars and not self.pedestrians:
            names = ", ".join(f"{name}.npz" for name in _CAR_LENGTHS_M)
            raise SimulationError(
                f"{folder} has no known mesh; expected pedestrian_*.npz or any of {names}; "
                "omit the folder to use procedural shapes only"
            )

    def sample_car(
        self, rng: np.random.Generator, textures: TextureArray, lights: VehicleLights
    ) -> tuple[str, Body]:
        """Sample a vehicle with random proportions: ("car" or "van", body)."""
        shares = np.array([_CAR_SHARES[path.stem] for path in self.cars])
        path = self.cars[int(rng.choice(len(self.cars), p=shares / shares.sum()))]
        parts = _load_vehicle(path)
        points = np.concatenate([part.vertices for part in parts])
        low, high = points.min(0), points.max(0)
        size = (high - low) * (_CAR_LENGTHS_M[path.stem] / (high - low)[0])
        size = size * rng.uniform([0.9, 0.92, 0.92], [1.12, 1.1, 1.14])
        scale: Floats = size / (high - low)
        base_centre = np.array([*(low + high)[:2] / 2, low[2]])
        meshes = []
        for part in parts:
            layer = 0 if part.texture is None else textures.add(part.texture)
            gloss = 0.5 if part.albedo > 0.05 or part.texture is not None else 0.95
            meshes.append(build_mesh(
                (part.vertices - base_centre) * scale, normalise(part.normals / scale), part.uv,
                material(layer, part.albedo, 0.0, gloss), part.faces,
            ))  # fmt: skip
        if lights.head:
            meshes.append(_make_lights(size, lights))
        type_name = "van" if path.stem in _VANS else "car"
        size_m = (float(size[0]), float(size[1]), float(size[2]))
        return type_name, make_rigid_body(join_meshes(meshes), size_m)

    def sample_figure(self, rng: np.random.Generator) -> Figure:
        """Sample a walking pedestrian with random proportions."""
        person = _load_person(self.pedestrians[rng.integers(len(self.pedestrians))])
        girth, height = rng.uniform(0.92, 1.2), rng.uniform(0.92, 1.08)
        cycle, scale = person.cycles[0].copy(), np.array([girth, girth, height])
        cycle[..., :3] *= scale
        cycle[..., 3:] = normalise(np.asarray(cycle[..., 3:] / scale, float))
        mesh = Mesh(person.meshes[0].vertices.copy(), person.meshes[0].faces)
        mesh.vertices[:, :6] = cycle[0]
        height_m = person.height_m * height
        return figure_from_cycle(mesh, cycle, height_m, _STRIDE_PER_HEIGHT * height_m)


@functools.lru_cache(maxsize=32)
def _load_vehicle(path: Path) -> tuple[_MeshPart, ...]:
    """Load the parts of a vehicle, rotated to face +x; cached, because a process makes many films."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            count = sum(name.startswith("vertices_") for name in archive.files)
            turn = -1.0 if path.stem in _BACKWARDS else 1.0
            return tuple(_load_part(archive, index, turn) for index in range(count))
    except (KeyError, OSError, ValueError) as error:
        raise SimulationError(
            f"{path} is not a vehicle as described in ingest/simulation/actors/mesh_library.py ({error})"
        ) from error


def _load_part(archive: Any, index: int, turn: float) -> _MeshPart:
    points, normals = (
        _turn_to_x_axis(archive[f"{name}_{index}"].astype(float)) * [turn, turn, 1]
        for name in ("vertices", "normals")
    )
    uv, faces = archive[f"uv_{index}"].astype(float), archive[f"faces_{index}"].astype(np.int32)
    texture = None
    if f"texture_{index}" in archive.files:
        image = Image.open(io.BytesIO(archive[f"texture_{index}"].tobytes())).convert("RGB")
        texture = np.asarray(image.resize((TEXTURE_PX, TEXTURE_PX), Image.Resampling.BOX), float) / 255
        texture = texture**2.2 @ _LUMA
    albedo = 1.0 if texture is not None else float(archive[f"rgba_{index}"][:3].astype(float) ** 2.2 @ _LUMA)
    return _MeshPart(
        points, normals / 127, uv, _orient_faces(points, normals, faces), max(albedo, 0.02), texture
    )


@functools.lru_cache(maxsize=32)
def _load_person(path: Path) -> Figure:
    """Load a pedestrian, simplified for small images and rotated to face +x; cached."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            points = _turn_to_x_axis(archive["vertices"].astype(np.float32))
            faces, regions = archive["faces"].astype(np.int32), archive["region"].astype(np.int32)
    except (KeyError, OSError, ValueError) as error:
        raise SimulationError(
            f"{path} is not a person as described in ingest/simulation/actors/mesh_library.py ({error})"
        ) from error
    count = points.shape[1]
    full = build_mesh(points[0], np.zeros((count, 3)), np.zeros((count, 2)), material(layer=regions), faces)
    mesh, cycle = simplify_cycle(full, _lower_arms(points), np.where(np.isin(regions, (0, 4)), 0.08, 0.15))
    height = float(points[..., 2].max())
    return figure_from_cycle(mesh, cycle, height, _STRIDE_PER_HEIGHT * height)


def _lower_arms(points: Floats) -> Floats:
    """Return points [P, V, 3] with the arms lowered by 20 degrees; the meshes hold them off the body."""
    height = points[..., 2].max()
    shoulder_y, shoulder_z = 0.115 * height, 0.8 * height
    side = np.sign(points[..., 1])
    out = np.abs(points[..., 1]) - shoulder_y
    share = np.clip(out / (0.06 * height), 0, 1) * (points[..., 2] > 0.4 * height)
    angle = 0.38 * share * share * (3 - 2 * share)
    up = points[..., 2] - shoulder_z
    lowered = points.copy()
    lowered[..., 1] = side * (shoulder_y + np.cos(angle) * out + np.sin(angle) * up)
    lowered[..., 2] = shoulder_z + np.cos(angle) * up - np.sin(angle) * out
    return lowered


def _turn_to_x_axis(vectors: Floats) -> Floats:
    """Rotate vectors [..., 3] of a body that faces -y so that it faces +x."""
    return np.stack([-vectors[..., 1], vectors[..., 0], vectors[..., 2]], -1)


def _orient_faces(points: Floats, normals: Floats, faces: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return faces whose winding agrees with the normals of their corners."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    against = (np.cross(b - a, c - a) * normals[faces].sum(1)).sum(1) < 0
    return np.where(against[:, None], faces[:, ::-1], faces).astype(np.int32)


def _make_lights(size: Floats, lights: VehicleLights) -> Mesh:
    length, width, height = size
    positions = [[x * length / 2, side * 0.36 * width, 0.42 * height] for x in (1, -1) for side in (-1, 1)]
    materials = [material(albedo=0.6, glow=lights.head)] * 2 + [material(albedo=0.1, glow=lights.tail)] * 2
    return make_boxes(positions, [[0.06, 0.28, 0.14]], np.stack(materials))
