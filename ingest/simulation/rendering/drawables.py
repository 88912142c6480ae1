"""Pieces of a stage: still meshes, moving bodies, the skyline, and where a body is put."""

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
"""Lengths of cars and heights of people on the picture above which they are drawn better."""


class StaticMesh:
    """Chunks of a mesh on the card, with a vertex array for every program that draws them."""

    def __init__(self, renderer: Renderer, mesh: Mesh, programs: Sequence[Program], cell_m: float) -> None:
        self.cells: MeshCells = split_into_cells(mesh, cell_m)
        self.buffers = renderer.upload(self.cells.mesh)
        self.vertex_arrays = [renderer.vertex_array(program, *self.buffers) for program in programs]

    def draw(self, program_index: int, runs: list[tuple[int, int]]) -> None:
        """Draw runs of faces (first, count) with the program of an index."""
        for first, count in runs:
            self.vertex_arrays[program_index].render(vertices=count * 3, first=first * 3)


class AnimatedMesh:
    """One level of a body on the card, for colour, ids and shadow."""

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
        """Bend a body that has limbs to where it is in its stride."""
        if self._cycle is None or stride_m == self._stride_m:
            return
        self._stride_m = stride_m
        phases = len(self._cycle)
        place = stride_m / self._cycle_length_m % 1.0 * phases
        index = int(place) % phases
        first, second = self._cycle[index], self._cycle[(index + 1) % phases]
        self._vertices[:, :6] = first + (second - first) * np.float32(place - int(place))
        self.buffers[0].write(self._vertices)


@dataclass(frozen=True, slots=True)
class VisibleActor:
    """An actor in the picture: its index, its row of the tracks, its matrix as bytes, its pixels a metre."""

    index: int
    pose: Floats
    matrix: bytes
    px_per_m: float


def level_of_detail(body: Body, px_per_m: float) -> int:
    """The level of detail of a body that is seen at so many pixels a metre."""
    if body.cycles:
        return 0 if px_per_m * body.size_m[2] > _FINE_PERSON_PX else 1
    length_px = px_per_m * body.size_m[0]
    return 0 if length_px > _FINE_CAR_PX else 1 if length_px > _COARSE_CAR_PX else 2


def shader_flags(scene: Scene) -> frozenset[str]:
    """Which parts of the shaders the scene needs."""
    light, lens = scene.light, scene.lens
    wanted = {
        "NIGHT": light.night, "SUNNY": light.sunny, "GLARE": lens.glare > 0, "RAIN": light.rain > 0,
        "DASHBOARD": lens.dashboard > 0, "WIPER": lens.wiper_hz > 0,
    }  # fmt: skip
    return frozenset(flag for flag, on in wanted.items() if on)


def skyline_strip(skyline: Floats) -> Floats:
    """A strip [2 N + 2, 3] around the camera, from below the horizon up to the skyline."""
    angle = np.linspace(0, 2 * np.pi, len(skyline) + 1)
    slope = np.append(skyline, skyline[0])
    low, high = (np.stack([np.cos(angle), np.sin(angle), z], -1) for z in (np.full(len(angle), -0.3), slope))
    return np.stack([low, high], 1).reshape(-1, 3)


def model_matrices(poses: Floats) -> Floats:
    """The matrices [A, 4, 4], transposed for OpenGL, that put bodies where rows [A, 8] of tracks say."""
    slope = poses[:, PITCH]
    cos, sin, level = np.cos(poses[:, YAW]), np.sin(poses[:, YAW]), 1 / np.sqrt(1 + slope * slope)
    matrices = np.zeros((len(poses), 4, 4), np.float32)
    matrices[:, 0, :3] = np.stack([cos * level, sin * level, slope * level], 1)
    matrices[:, 1, 0], matrices[:, 1, 1] = -sin, cos
    matrices[:, 2, :3] = np.stack([-cos * slope * level, -sin * slope * level, level], 1)
    matrices[:, 3, :3], matrices[:, 3, 3] = poses[:, X : Z + 1], 1.0
    return matrices
