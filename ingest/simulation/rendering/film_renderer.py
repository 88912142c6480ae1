"""Renderer of a scene: luminance and actor ids at any time (`film.Film`).

Drawing order: actors and static meshes from near to far, the ground, its markings, the sky where nothing
else is, and the shadows of actors. A shadow multiplies the pixel by the alpha that the ground wrote, and sets
alpha to 1. So it darkens the ground once, and nothing else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.actors.motion import STRIDE, X, Z, interpolate_tracks
from spikewatch.ingest.simulation.film import Actor
from spikewatch.ingest.simulation.geometry.camera import CameraView, in_frustum, projection_matrix, ray_matrix
from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.rendering.drawables import (
    AnimatedMesh,
    StaticMesh,
    VisibleActor,
    level_of_detail,
    model_matrices,
    shader_flags,
    skyline_strip,
)
from spikewatch.ingest.simulation.rendering.light import scene_uniforms, sunlit_share
from spikewatch.ingest.simulation.rendering.opengl import (
    Renderer,
    RenderTarget,
    matrix_bytes,
    set_uniforms_of_all,
    vector_bytes,
)
from spikewatch.ingest.simulation.rendering.scene import Scene
from spikewatch.ingest.simulation.rendering.shaders import MAX_LAMPS

_DETAIL_REACH_M = 60.0
_ACTOR_REACH_M = 150.0
_SHADOW_REACH_M, _FINE_SHADOW_M = 45.0, 15.0
_MARKINGS_REACH_M = 75.0
_PROGRAMS = ("matte", "glossy", "ground", "shadow", "sky", "ridge", "resolve", "id")


class FilmRenderer:
    """A film of a scene (`film.Film`)."""

    def __init__(self, renderer: Renderer, scene: Scene, width: int, height: int) -> None:
        self._renderer, self._scene = renderer, scene
        self._actors = tuple(instance.actor for instance in scene.actors)
        self._canvas = RenderTarget(renderer.context, width, height)
        flags = shader_flags(scene)
        self._programs = {name: renderer.program(name, flags) for name in _PROGRAMS}
        static_programs = [self._programs[name] for name in ("matte", "id")]
        self._solid, self._detail = (
            StaticMesh(renderer, mesh, static_programs, 24.0) for mesh in (scene.solid, scene.detail)
        )
        ground_programs = [self._programs[name] for name in ("ground", "id")]
        self._ground, self._markings = (
            StaticMesh(renderer, mesh, ground_programs, 48.0) for mesh in (scene.ground, scene.markings)
        )
        self._sky, sky_buffers = renderer.screen_grid(self._programs["sky"], 14, 11)
        self._lens, lens_buffers = renderer.screen_grid(self._programs["resolve"], 1, 1)
        self._skyline, skyline_buffer = renderer.triangle_strip(
            self._programs["ridge"], skyline_strip(scene.appearance.skyline)
        )
        self._owned = [self._sky, self._lens, self._skyline, *sky_buffers, *lens_buffers, skyline_buffer]
        self._texture_array, self._sun_mask = self._create_textures()
        self._animated_meshes: dict[tuple[int, int], AnimatedMesh] = {}
        self._radii = np.array(
            [0.5 * np.linalg.norm(instance.body.size_m) + 0.3 for instance in scene.actors]
        )
        self._centres = np.array(
            [[0, 0, 0.5 * instance.body.size_m[2]] for instance in scene.actors]
        ).reshape(-1, 3)
        self._exposure = 1.0

    @property
    def actors(self) -> Sequence[Actor]:
        """The actors; id k of `ids` is actors[k - 1]."""
        return self._actors

    @property
    def scene(self) -> Scene:
        """The rendered scene."""
        return self._scene

    def set_exposure(self, times_s: Sequence[float]) -> None:
        """Set the exposure so that the median luminance over these times equals the light's."""
        self._exposure = 1.0
        medians = [float(np.median(self.luminance(t_s))) for t_s in times_s]
        self._exposure = self._scene.light.median_luminance / max(float(np.median(medians)), 1e-3)

    def luminance(self, t_s: float) -> NDArray[np.float32]:
        """Return [H, W], linear, first row on top."""
        view = self._scene.view_at(t_s)
        matrix = projection_matrix(view, self._canvas.width, self._canvas.height)
        context = self._renderer.context
        self._canvas.begin()
        context.enable(context.DEPTH_TEST | context.CULL_FACE)
        context.disable(context.BLEND)
        self._texture_array.use(0)
        self._sun_mask.use(1)
        self._upload_scene()
        self._set_camera(view, matrix)
        visible = self._visible_actors(view, matrix, t_s)
        self._draw_actors(visible)
        self._draw_static(0, matrix, view)
        self._draw_sky(view)
        self._draw_shadows(visible, view)
        self._resolve(t_s)
        return self._canvas.read(self._canvas.resolved).copy()

    def ids(self, t_s: float, only: int | None = None, without_still: bool = False) -> NDArray[np.int32]:
        """Return [H, W]: 1 + the index of the actor at each pixel's centre, 0 for none.

        only: draw only the actor with this id. without_still: draw no static meshes.
        """
        view = self._scene.view_at(t_s)
        matrix = projection_matrix(view, self._canvas.width, self._canvas.height)
        context = self._renderer.context
        self._canvas.id_buffer.use()
        context.enable(context.DEPTH_TEST | context.CULL_FACE)
        context.disable(context.BLEND)
        self._canvas.id_buffer.clear(0, 0, 0, 0)
        program = self._programs["id"]
        program.set_uniforms(VP=matrix_bytes(matrix))
        for actor in self._visible_actors(view, matrix, t_s):
            if only in (None, actor.index + 1):
                program.set_uniforms(M=actor.matrix, id=float(actor.index + 1))
                self._animated_mesh(actor).id_array.render()
        if not without_still:
            program.set_uniforms(id=0.0, M=matrix_bytes(np.eye(4)))
            self._draw_static(1, matrix, view)
        return np.rint(self._canvas.read(self._canvas.id_buffer)).astype(np.int32)

    def close(self) -> None:
        """Release textures, vertex arrays and buffers."""
        static_meshes = (self._solid, self._detail, self._ground, self._markings)
        arrays = [array for mesh in static_meshes for array in mesh.vertex_arrays]
        arrays += [
            array
            for body in self._animated_meshes.values()
            for array in (body.colour_array, body.id_array, body.shadow_array)
        ]
        buffers = [buffer for mesh in static_meshes for buffer in mesh.buffers]
        buffers += [buffer for body in self._animated_meshes.values() for buffer in body.buffers]
        for owned in (*arrays, *buffers, *self._owned, self._texture_array, self._sun_mask):
            owned.release()
        self._canvas.release()

    def _create_textures(self) -> tuple[Any, Any]:
        context, stack, mask = self._renderer.context, self._scene.textures, self._scene.sun_mask.image
        filters = (context.LINEAR_MIPMAP_NEAREST, context.LINEAR)
        layers, height, width = stack.shape
        texture_array = context.texture_array((width, height, layers), 1, stack.tobytes(), alignment=1)
        texture_array.build_mipmaps()
        texture_array.filter = filters
        sun_mask = context.texture((mask.shape[1], mask.shape[0]), 1, mask.tobytes(), alignment=1)
        sun_mask.filter = (context.LINEAR, context.LINEAR)
        sun_mask.repeat_x = sun_mask.repeat_y = False
        return texture_array, sun_mask

    def _upload_scene(self) -> None:
        """Set the scene's uniforms in the programs, unless they still have them; films share the programs."""
        if self._renderer.owner is self:
            return
        self._renderer.owner = self
        set_uniforms_of_all(self._programs, **scene_uniforms(self._scene))

    def _set_camera(self, view: CameraView, matrix: Floats) -> None:
        """Set the camera's uniforms in the programs, and at night those of the nearest lamps."""
        set_uniforms_of_all(self._programs, VP=matrix_bytes(matrix), eye=vector_bytes(view.eye))
        light = self._scene.light
        if light.night:
            lamps = np.zeros((MAX_LAMPS, 4), np.float32)
            distances = np.linalg.norm(self._scene.street_lamps - view.eye, axis=1)
            nearest = np.argsort(distances)[:MAX_LAMPS]
            lamps[: len(nearest), :3] = self._scene.street_lamps[nearest]
            lamps[: len(nearest), 3] = light.street_lamps * np.clip((90 - distances[nearest]) / 30, 0, 1)
            set_uniforms_of_all(
                self._programs, lamps=vector_bytes(lamps), beam=vector_bytes(-view.rotation[:, 2])
            )

    def _visible_actors(self, view: CameraView, matrix: Floats, t_s: float) -> list[VisibleActor]:
        """Return the visible actors, the nearest first."""
        poses = interpolate_tracks(self._scene.tracks, t_s)
        if not len(poses):
            return []
        centres = poses[:, X : Z + 1] + self._centres
        distances = np.linalg.norm(centres - view.eye, axis=1)
        visible = np.flatnonzero((distances < _ACTOR_REACH_M) & in_frustum(matrix, centres, self._radii))
        visible = visible[np.argsort(distances[visible], kind="stable")]
        matrices = model_matrices(poses[visible])
        return [
            VisibleActor(
                int(index),
                poses[index],
                vector_bytes(model_matrix),
                view.focal_px / max(float(distances[index]), 1.0),
            )
            for index, model_matrix in zip(visible, matrices, strict=True)
        ]

    def _animated_mesh(self, actor: VisibleActor, min_level: int = 0) -> AnimatedMesh:
        """Return the actor's mesh in its pose, at the level of detail for its size in the image."""
        body = self._scene.actors[actor.index].body
        level = min(max(level_of_detail(body, actor.px_per_m), min_level), len(body.levels) - 1)
        key = (-1 - actor.index if body.cycles else id(body), level)
        if key not in self._animated_meshes:
            self._animated_meshes[key] = AnimatedMesh(self._renderer, body, level, self._programs)
        mesh = self._animated_meshes[key]
        mesh.pose(float(actor.pose[STRIDE]))
        return mesh

    def _draw_actors(self, actors: list[VisibleActor]) -> None:
        sunny = self._scene.light.sunny
        for actor in actors:
            mesh = self._animated_mesh(actor)
            lit = sunlit_share(self._scene.sun_mask, actor.pose) if sunny else 1.0
            self._programs[mesh.program_name].set_uniforms(
                M=actor.matrix, tint=self._scene.actors[actor.index].tint, lit=lit
            )
            mesh.colour_array.render()
        set_uniforms_of_all(self._programs, M=matrix_bytes(np.eye(4)), tint=1.0, lit=1.0)

    def _draw_static(self, program_index: int, matrix: Floats, view: CameraView) -> None:
        """Draw static meshes in colour (program_index 0) or as background of the ids (1)."""
        reach, context = self._scene.light.visibility_m, self._renderer.context
        self._solid.draw(program_index, self._solid.cells.visible_runs(matrix, view.eye, reach))
        self._detail.draw(program_index, self._detail.cells.visible_runs(matrix, view.eye, _DETAIL_REACH_M))
        self._ground.draw(
            program_index, self._ground.cells.visible_runs(matrix, view.eye, reach, near_first=False)
        )
        if program_index == 0:
            context.polygon_offset = (-2.0, -40.0)
            runs = self._markings.cells.visible_runs(matrix, view.eye, _MARKINGS_REACH_M, near_first=False)
            self._markings.draw(0, runs)
            context.polygon_offset = (0.0, 0.0)

    def _draw_sky(self, view: CameraView) -> None:
        context = self._renderer.context
        self._programs["sky"].set_uniforms(
            rays=matrix_bytes(ray_matrix(view, self._canvas.width, self._canvas.height))
        )
        context.disable(context.CULL_FACE)
        self._skyline.render(context.TRIANGLE_STRIP)
        self._sky.render()

    def _draw_shadows(self, actors: list[VisibleActor], view: CameraView) -> None:
        context = self._renderer.context
        context.disable(context.DEPTH_TEST)
        context.enable(context.BLEND)
        context.blend_func = (context.ZERO, context.DST_ALPHA, context.ONE, context.ZERO)
        program, sunny = self._programs["shadow"], self._scene.light.sunny
        for actor in actors:
            distance_m = float(np.linalg.norm(actor.pose[X : Z + 1] - view.eye))
            if distance_m < _SHADOW_REACH_M:
                program.set_uniforms(M=actor.matrix, floor_m=float(actor.pose[Z]) + 0.01)
                min_level = 1 if sunny and distance_m < _FINE_SHADOW_M else 2
                self._animated_mesh(actor, min_level).shadow_array.render()
        context.disable(context.BLEND)

    def _resolve(self, t_s: float) -> None:
        """Average the samples of each pixel, and add the effects of windscreen and rain."""
        light, lens = self._scene.light, self._scene.lens
        self._canvas.resolved.use()
        self._canvas.scene_texture.use(2)
        sweep = -1.2 * np.cos(2 * np.pi * lens.wiper_hz * t_s)
        rain = (light.rain, 2.3 * t_s, 0.05 * t_s)
        self._programs["resolve"].set_uniforms(exposure=self._exposure, sweep=float(sweep), rain=rain)
        self._lens.render()
