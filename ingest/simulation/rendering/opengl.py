"""OpenGL for films: one context a process, its programs, and pictures to draw on.

The context is made without a window, by EGL; Mesa's llvmpipe draws where there is no graphics card.
"""

import functools
import importlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.geometry.mesh import Mesh
from spikewatch.ingest.simulation.geometry.shapes import quad_indices
from spikewatch.ingest.simulation.rendering import shaders

SUPERSAMPLING = 2
_ATTRIBUTES = (("point", "3f", "12x"), ("normal", "3f", "12x"), ("uv", "2f", "8x"), ("paint", "4f", "16x"))


def create_context(module: str = "moderngl", backend: str = "egl") -> Any:
    """An OpenGL context without a window.

    Raises:
        SimulationError: moderngl is not installed, or no context can be made.
    """
    try:
        moderngl = importlib.import_module(module)
    except ImportError as error:
        raise SimulationError(
            f"{module} is not installed, and films are drawn with it; pip install 'spikewatch[sim]'"
        ) from error
    # Films are made in several processes at a time; threads of one would only fight those of another.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    try:
        return moderngl.create_context(standalone=True, backend=backend)
    except Exception as error:
        raise SimulationError(
            f"no OpenGL context could be made with {backend} ({error}); on Debian and Ubuntu, "
            "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
        ) from error


class Program:
    """A linked program that takes only the uniforms that it has."""

    def __init__(self, context: Any, vertex_source: str, fragment_source: str) -> None:
        self.program = context.program(vertex_shader=vertex_source, fragment_shader=fragment_source)
        self._uniforms = {name: self.program[name] for name in self.program}

    def set_uniforms(self, **values: Any) -> None:
        """Set uniforms: numbers, or arrays as bytes (see `raw`, `columns`)."""
        for name, value in values.items():
            member = self._uniforms.get(name)
            if member is None:
                continue
            if isinstance(value, bytes):
                member.write(value)
            else:
                member.value = value

    def attributes(self) -> tuple[str, list[str]]:
        """The format of a mesh's vertices and the attributes among them that the program reads."""
        used = [name for name, _, _ in _ATTRIBUTES if name in self._uniforms]
        layout = " ".join(kind if name in self._uniforms else skip for name, kind, skip in _ATTRIBUTES)
        return layout, used


class Renderer:
    """The context and all programs; films come and go. `owner` is the film whose light the programs hold."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.owner: object = None
        self._programs: dict[tuple[str, frozenset[str]], Program] = {}

    def program(self, name: str, flags: frozenset[str] = frozenset()) -> Program:
        """A program by name (see `shaders.py`), for a film that has these of `shaders.FLAGS`."""
        key = (name, shaders.relevant_flags(name, flags))
        if key not in self._programs:
            self._programs[key] = Program(self.context, *shaders.shader_sources(*key))
        return self._programs[key]

    def screen_grid(self, program: Program, columns: int, rows: int) -> tuple[Any, list[Any]]:
        """A vertex array that covers the picture with a grid of triangles, and its buffers."""
        x, y = np.meshgrid(np.linspace(-1, 1, columns + 1), np.linspace(-1, 1, rows + 1))
        corners = self.context.buffer(np.stack([x, y], -1).astype(np.float32).tobytes())
        quads = quad_indices(rows + 1, columns + 1)
        faces = self.context.buffer(quads[:, [0, 3, 2, 0, 2, 1]].astype(np.int32).tobytes())
        return self.context.vertex_array(program.program, [(corners, "2f", "corner")], faces), [
            corners,
            faces,
        ]

    def vertex_array(self, program: Program, vertices: Any, faces: Any) -> Any:
        """A vertex array of a mesh's buffers for a program."""
        layout, used = program.attributes()
        return self.context.vertex_array(program.program, [(vertices, layout, *used)], faces)

    def triangle_strip(self, program: Program, points: NDArray[Any]) -> tuple[Any, Any]:
        """A vertex array of points [N, 3] and its buffer, to be drawn as a strip of triangles."""
        buffer = self.context.buffer(np.ascontiguousarray(points, np.float32).tobytes())
        return self.context.vertex_array(program.program, [(buffer, "3f", "point")]), buffer

    def upload(self, mesh: Mesh, dynamic: bool = False) -> tuple[Any, Any]:
        """Buffers of a mesh's vertices and faces."""
        vertices = self.context.buffer(_non_empty_bytes(mesh.vertices.astype(np.float32)), dynamic=dynamic)
        return vertices, self.context.buffer(_non_empty_bytes(mesh.faces.astype(np.int32)))


@functools.cache
def get_renderer() -> Renderer:
    """The renderer of this process.

    Raises:
        SimulationError: moderngl or EGL is missing.
    """
    return Renderer(create_context())


class RenderTarget:
    """What a film of width x height is drawn on: a large picture, the small one made from it, and the ids."""

    def __init__(self, context: Any, width: int, height: int) -> None:
        self.width, self.height = width, height
        large = (width * SUPERSAMPLING, height * SUPERSAMPLING)
        self.scene_texture = context.texture(large, 4, dtype="f2")
        depth = context.depth_renderbuffer(large)
        small, ids = (context.texture((width, height), 1, dtype="f4") for _ in range(2))
        id_depth = context.depth_renderbuffer((width, height))
        self.supersampled = context.framebuffer([self.scene_texture], depth)
        self.resolved = context.framebuffer([small])
        self.id_buffer = context.framebuffer([ids], id_depth)
        self._owned = [
            self.supersampled,
            self.resolved,
            self.id_buffer,
            self.scene_texture,
            depth,
            small,
            ids,
            id_depth,
        ]

    def begin(self) -> None:
        """Make ready to draw on the large picture. Old colours stay: the sky covers what else is bare."""
        self.supersampled.color_mask = False, False, False, False
        self.supersampled.clear()
        self.supersampled.color_mask = True, True, True, True
        self.supersampled.use()

    def read(self, framebuffer: Any) -> NDArray[np.float32]:
        """[H, W], first row on top."""
        data = np.frombuffer(framebuffer.read(components=1, dtype="f4"), np.float32)
        return data.reshape(self.height, self.width)[::-1]

    def release(self) -> None:
        """Give back textures and framebuffers."""
        for owned in self._owned:
            owned.release()


def matrix_bytes(matrix: NDArray[Any]) -> bytes:
    """A matrix as OpenGL wants it."""
    return np.ascontiguousarray(np.asarray(matrix, np.float32).T).tobytes()


def vector_bytes(vector: Any) -> bytes:
    """A vector, or an array of them, as OpenGL wants it."""
    return np.ascontiguousarray(vector, np.float32).tobytes()


def set_uniforms_of_all(programs: Mapping[str, Program], **values: Any) -> None:
    """Set uniforms of every program that has them."""
    for program in programs.values():
        program.set_uniforms(**values)


def _non_empty_bytes(values: NDArray[Any]) -> bytes:
    return values.tobytes() or bytes(48)
