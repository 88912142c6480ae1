"""Drawable parts of a scene on the GPU: static meshes, animated bodies, the skyline, model matrices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import Body
from spikewatch.ingest.simulation.actors.motion import PITCH, YAW, X, Z
from spikewatch.ingest.simulation.geometry.grid_cells import MeshCells, split_into_cells
from spikewatch.ingest.simulation.geometry.mesh import Floats, Mesh
from spikewatch.ingest.simulation.rendering.opengl import Program, Renderer
from spikewatch.ingest.simulation.rendering.scene import Scene

_FINE_CAR_PX, _COARSE_CAR_PX, _FINE_PERSON_PX = 80.0, 17.0, 44.0
"""Sizes in the image, lengths of cars and heights of people, above which a finer level is drawn."""


class StaticMesh:
    """Static mesh on the GPU, split into cells, with a vertex array per program."""

    def __init__(self, renderer: Renderer, mesh: Mesh, programs: Sequence[Program], cell_m: float) -> None:
        self.cells: MeshCells = split_into_cells(mesh, cell_m)
        self.buffers = renderer.upload(self.cells.mesh)
        self.vertex_arrays = [renderer.vertex_array(program, *self.buffers) for program in programs]

    def draw(self, program_index: int, runs: list[tuple[int, int]]) -> None:
        """Draw runs of faces (first, count) with one of the programs."""
        for first, count in runs:
            self.vertex_arrays[program_index].render(vertices=count * 3, first=first * 3)


class AnimatedMesh:
    """One level of a body on the GPU, with vertex arrays for colour, ids and shadow."""

    def __init__(self, renderer: Renderer, body: Body, level: int, programs: dict[str, Program]) -> None:
        mesh = body.levels[level]
        self.buffers = renderer.upload(mesh, dynamic=bool(body.cycles))
        self.program_name = "glossy" if body.glossy else "matte"
        self.colour_array, self.id_array, self.shadow_array = (
            renderer.vertex_array(programs[name], *self.buffers)
            for name in (self.program_name, "id", "shadow")
        )
        self._cycle = body.cycles[level] if body.cycles else None
        self._vertices = mesh.vertices.copy()
        self._cycle_length_m, self._stride_m = body.stride_m, float("nan")

    def pose(self, stride_m: float) -> None:
        """Set the pose of an animated body to a position in its stride."""
        if self._cycle is None or stride_m == self._stride_m:
            return
        self._stride_m = stride_m
        phases = len(self._cycle)
        phase = stride_m / self._cycle_length_m % 1.0 * phases
        index = int(phase) % phases
        first, second = self._cycle[index], self._cycle[(index + 1) % phases]
        self._vertices[:, :6] = first + (second - first) * np.float32(phase - int(phase))
        self.buffers[0].write(self._vertices)


@dataclass(frozen=True, slots=True)
class VisibleActor:
    """An actor in view: index, pose (a row of the tracks), model matrix as bytes, pixels per metre."""

    index: int
    pose: Floats
    matrix: bytes
    px_per_m: float


def level_of_detail(body: Body, px_per_m: float) -> int:
    """Return the level of detail of a body at px_per_m pixels per metre."""
    if body.cycles:
        return 0 if px_per_m * body.size_m[2] > _FINE_PERSON_PX else 1
    length_px = px_per_m * body.size_m[0]
    return 0 if length_px > _FINE_CAR_PX else 1 if length_px > _COARSE_CAR_PX else 2


def shader_flags(scene: Scene) -> frozenset[str]:
    """Return the shader features that the scene needs."""
    light, lens = scene.light, scene.lens
    enabled = {
        "NIGHT": light.night, "SUNNY": light.sunny, "GLARE": lens.glare > 0, "RAIN": light.rain > 0,
        "DASHBOARD": lens.dashboard > 0, "WIPER": lens.wiper_hz > 0,
    }  # fmt: skip
    return frozenset(flag for flag, is_on in enabled.items() if is_on)


def skyline_strip(skyline: Floats) -> Floats:
    """Return a triangle strip [2 N + 2, 3] around the camera, from below the horizon to the skyline."""
    angle = np.linspace(0, 2 * np.pi, len(skyline) + 1)
    slope = np.append(skyline, skyline[0])
    low, high = (np.stack([np.cos(angle), np.sin(angle), z], -1) for z in (np.full(len(angle), -0.3), slope))
    return np.stack([low, high], 1).reshape(-1, 3)


def model_matrices(poses: Floats) -> Floats:
    """Return the model matrices [A, 4, 4], transposed for OpenGL, for poses [A, 8] (rows of tracks)."""
    slope = poses[:, PITCH]
    cos, sin, level = np.cos(poses[:, YAW]), np.sin(poses[:, YAW]), 1 / np.sqrt(1 + slope * slope)
    matrices = np.zeros((len(poses), 4, 4), np.float32)
    matrices[:, 0, :3] = np.stack([cos * level, sin * level, slope * level], 1)
    matrices[:, 1, 0], matrices[:, 1, 1] = -sin, cos
    matrices[:, 2, :3] = np.stack([-cos * slope * level, -sin * slope * level, level], 1)
    matrices[:, 3, :3], matrices[:, 3, 3] = poses[:, X : Z + 1], 1.0
    return matrices
