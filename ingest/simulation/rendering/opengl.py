"""OpenGL for films: one context per process, programs, vertex arrays and render targets.

The context is created by EGL, without a window; without a GPU, Mesa's llvmpipe renders.
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
    """Create an OpenGL context without a window.

    Raises:
        SimulationError: moderngl is not installed, or no context can be created.
    """
    try:
        moderngl = importlib.import_module(module)
    except ImportError as error:
        raise SimulationError(
            f"{module}, which renders films, is not installed; run: pip install 'spikewatch[sim]'"
        ) from error
    # Several processes render at a time, and threads of one would only slow down the others.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    try:
        return moderngl.create_context(standalone=True, backend=backend)
    except Exception as error:
        raise SimulationError(
            f"no OpenGL context could be created with {backend} ({error}); on Debian and Ubuntu, "
            "run: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
        ) from error


class Program:
    """A linked shader program; setting a uniform that it lacks has no effect."""

    def __init__(self, context: Any, vertex_source: str, fragment_source: str) -> None:
        self.program = context.program(vertex_shader=vertex_source, fragment_shader=fragment_source)
        self._uniforms = {name: self.program[name] for name in self.program}

    def set_uniforms(self, **values: Any) -> None:
        """Set uniforms: numbers, or arrays as bytes (see `vector_bytes`, `matrix_bytes`)."""
        for name, value in values.items():
            uniform = self._uniforms.get(name)
            if uniform is None:
                continue
            if isinstance(value, bytes):
                uniform.write(value)
            else:
                uniform.value = value

    def attributes(self) -> tuple[str, list[str]]:
        """Return the format of a mesh's vertices, and the names of the attributes that the program reads."""
        names = [name for name, _, _ in _ATTRIBUTES if name in self._uniforms]
        layout = " ".join(
            format_ if name in self._uniforms else padding for name, format_, padding in _ATTRIBUTES
        )
        return layout, names


class Renderer:
    """The process's OpenGL context and programs, shared by its films.

    `owner` is the film whose scene uniforms the programs have.
    """

    def __init__(self, context: Any) -> None:
        self.context = context
        self.owner: object = None
        self._programs: dict[tuple[str, frozenset[str]], Program] = {}

    def program(self, name: str, flags: frozenset[str] = frozenset()) -> Program:
        """Return a program by name (see `shaders`), for a film with these flags of `shaders.FLAGS`."""
        key = (name, shaders.relevant_flags(name, flags))
        if key not in self._programs:
            self._programs[key] = Program(self.context, *shaders.shader_sources(*key))
        return self._programs[key]

    def screen_grid(self, program: Program, columns: int, rows: int) -> tuple[Any, list[Any]]:
        """Return a vertex array that covers the image with a grid of triangles, and its buffers."""
        x, y = np.meshgrid(np.linspace(-1, 1, columns + 1), np.linspace(-1, 1, rows + 1))
        corners = self.context.buffer(np.stack([x, y], -1).astype(np.float32).tobytes())
        quads = quad_indices(rows + 1, columns + 1)
        faces = self.context.buffer(quads[:, [0, 3, 2, 0, 2, 1]].astype(np.int32).tobytes())
        array = self.context.vertex_array(program.program, [(corners, "2f", "corner")], faces)
        return array, [corners, faces]

    def vertex_array(self, program: Program, vertices: Any, faces: Any) -> Any:
        """Return a vertex array of a mesh's buffers for a program."""
        layout, names = program.attributes()
        return self.context.vertex_array(program.program, [(vertices, layout, *names)], faces)

    def triangle_strip(self, program: Program, points: NDArray[Any]) -> tuple[Any, Any]:
        """Return a vertex array of points [N, 3], to be drawn as a triangle strip, and its buffer."""
        buffer = self.context.buffer(np.ascontiguousarray(points, np.float32).tobytes())
        return self.context.vertex_array(program.program, [(buffer, "3f", "point")]), buffer

    def upload(self, mesh: Mesh, dynamic: bool = False) -> tuple[Any, Any]:
        """Upload a mesh; return the buffers of its vertices and faces."""
        vertices = self.context.buffer(_non_empty_bytes(mesh.vertices.astype(np.float32)), dynamic=dynamic)
        return vertices, self.context.buffer(_non_empty_bytes(mesh.faces.astype(np.int32)))


@functools.cache
def get_renderer() -> Renderer:
    """Return the renderer of this process.

    Raises:
        SimulationError: moderngl or EGL is missing.
    """
    return Renderer(create_context())


class RenderTarget:
    """Framebuffers of a film: a supersampled image, the resolved one of width x height, and the ids."""

    def __init__(self, context: Any, width: int, height: int) -> None:
        self.width, self.height = width, height
        large_size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
        self.scene_texture = context.texture(large_size, 4, dtype="f2")
        depth = context.depth_renderbuffer(large_size)
        resolved_texture, id_texture = (context.texture((width, height), 1, dtype="f4") for _ in range(2))
        id_depth = context.depth_renderbuffer((width, height))
        self.supersampled = context.framebuffer([self.scene_texture], depth)
        self.resolved = context.framebuffer([resolved_texture])
        self.id_buffer = context.framebuffer([id_texture], id_depth)
        self._owned = [
            self.supersampled,
            self.resolved,
            self.id_buffer,
            self.scene_texture,
            depth,
            resolved_texture,
            id_texture,
            id_depth,
        ]

    def begin(self) -> None:
        """Prepare the supersampled image for drawing. Colours need no clearing: the sky covers them."""
        self.supersampled.color_mask = False, False, False, False
        self.supersampled.clear()
        self.supersampled.color_mask = True, True, True, True
        self.supersampled.use()

    def read(self, framebuffer: Any) -> NDArray[np.float32]:
        """Read a framebuffer as [H, W], first row on top."""
        data = np.frombuffer(framebuffer.read(components=1, dtype="f4"), np.float32)
        return data.reshape(self.height, self.width)[::-1]

    def release(self) -> None:
        """Release textures and framebuffers."""
        for owned in self._owned:
            owned.release()


def matrix_bytes(matrix: NDArray[Any]) -> bytes:
    """Return a matrix as bytes in OpenGL's column order."""
    return np.ascontiguousarray(np.asarray(matrix, np.float32).T).tobytes()


def vector_bytes(vector: Any) -> bytes:
    """Return a vector, or an array of vectors, as bytes for OpenGL."""
    return np.ascontiguousarray(vector, np.float32).tobytes()


def set_uniforms_of_all(programs: Mapping[str, Program], **values: Any) -> None:
    """Set uniforms in every program that has them."""
    for program in programs.values():
        program.set_uniforms(**values)


def _non_empty_bytes(values: NDArray[Any]) -> bytes:
    return values.tobytes() or bytes(48)
