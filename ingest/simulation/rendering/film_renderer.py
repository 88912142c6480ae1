"""A scene drawn: luminance and ids for any time (`film.Film`).

The order of drawing: actors and still things from near to far, then the ground, marks on it, the sky where
nothing is, and the shadows of actors. A shadow multiplies what is there by the alpha that the ground left,
and sets alpha to 1: so it darkens the ground once, and nothing else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.actors.motion import STRIDE, D, S, X, Z, interpolate_tracks
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
        self._actors = tuple(role.actor for role in scene.actors)
        self._canvas = RenderTarget(renderer.context, width, height)
        flags = shader_flags(scene)
        self._programs = {name: renderer.program(name, flags) for name in _PROGRAMS}
        still = [self._programs[name] for name in ("matte", "id")]
        self._solid, self._detail = (
            StaticMesh(renderer, mesh, still, 24.0) for mesh in (scene.solid, scene.detail)
        )
        flat = [self._programs[name] for name in ("ground", "id")]
        self._ground, self._markings = (
            StaticMesh(renderer, mesh, flat, 48.0) for mesh in (scene.ground, scene.markings)
        )
        self._sky, sky_buffers = renderer.screen_grid(self._programs["sky"], 14, 11)
        self._lens, lens_buffers = renderer.screen_grid(self._programs["resolve"], 1, 1)
        self._skyline, ridge_buffer = renderer.triangle_strip(
            self._programs["ridge"], skyline_strip(scene.appearance.skyline)
        )
        self._owned = [self._sky, self._lens, self._skyline, *sky_buffers, *lens_buffers, ridge_buffer]
        self._texture_array, self._sun_mask = self._create_textures()
        self._animated_meshes: dict[tuple[int, int], AnimatedMesh] = {}
        self._radii = np.array([0.5 * np.linalg.norm(role.body.size_m) + 0.3 for role in scene.actors])
        self._centres = np.array([[0, 0, 0.5 * role.body.size_m[2]] for role in scene.actors]).reshape(-1, 3)
        self._exposure = 1.0

    @property
    def actors(self) -> Sequence[Actor]:
        """Id k in the id picture is actors[k - 1]."""
        return self._actors

    @property
    def scene(self) -> Scene:
        """What is filmed."""
        return self._scene

    def set_exposure(self, times_s: Sequence[float]) -> None:
        """Set the exposure so that the median luminance over these times is the light's."""
        self._exposure = 1.0
        medians = [float(np.median(self.luminance(t_s))) for t_s in times_s]
        self._exposure = self._scene.light.median_luminance / max(float(np.median(medians)), 1e-3)

    def luminance(self, t_s: float) -> NDArray[np.float32]:
        """[H, W], linear, first row on top."""
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
        sightings = self._visible_actors(view, matrix, t_s)
        self._draw_actors(sightings)
        self._draw_static(0, matrix, view)
        self._draw_sky(view)
        self._draw_shadows(sightings, view)
        self._resolve(t_s)
        return self._canvas.read(self._canvas.resolved).copy()

    def ids(self, t_s: float, only: int | None = None, without_still: bool = False) -> NDArray[np.int32]:
        """[H, W]: 1 + the index of the actor at each pixel's centre, 0 for none.

        only: show no other actor than this id. without_still: show neither street nor ground.
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
        for seen in self._visible_actors(view, matrix, t_s):
            if only in (None, seen.index + 1):
                program.set_uniforms(M=seen.matrix, id=float(seen.index + 1))
                self._animated_mesh(seen).id_array.render()
        if not without_still:
            program.set_uniforms(id=0.0, M=matrix_bytes(np.eye(4)))
            self._draw_static(1, matrix, view)
        return np.rint(self._canvas.read(self._canvas.id_buffer)).astype(np.int32)

    def close(self) -> None:
        """Give back textures and buffers."""
        stills = (self._solid, self._detail, self._ground, self._markings)
        arrays = [array for still in stills for array in still.vertex_arrays]
        arrays += [
            array
            for body in self._animated_meshes.values()
            for array in (body.colour_array, body.id_array, body.shadow_array)
        ]
        buffers = [buffer for still in stills for buffer in still.buffers]
        buffers += [buffer for body in self._animated_meshes.values() for buffer in body.buffers]
        for owned in (*arrays, *buffers, *self._owned, self._texture_array, self._sun_mask):
            owned.release()
        self._canvas.release()

    def _create_textures(self) -> tuple[Any, Any]:
        context, stack, mask = self._renderer.context, self._scene.textures, self._scene.sun_mask.image
        linear = (context.LINEAR_MIPMAP_NEAREST, context.LINEAR)
        layers, high, wide = stack.shape
        pictures = context.texture_array((wide, high, layers), 1, stack.tobytes(), alignment=1)
        pictures.build_mipmaps()
        pictures.filter = linear
        ground = context.texture((mask.shape[1], mask.shape[0]), 1, mask.tobytes(), alignment=1)
        ground.filter = (context.LINEAR, context.LINEAR)
        ground.repeat_x = ground.repeat_y = False
        return pictures, ground

    def _upload_scene(self) -> None:
        """Give the programs, which films share, this film's light."""
        if self._renderer.owner is self:
            return
        self._renderer.owner = self
        light, mask, look, lens = (
            self._scene.light,
            self._scene.sun_mask,
            self._scene.appearance,
            self._scene.lens,
        )
        span = np.array(mask.image.shape[::-1]) * mask.step_m
        set_uniforms_of_all(
            self._programs,
            M=matrix_bytes(np.eye(4)),
            sun=vector_bytes(light.sun),
            sun_light=light.sun_light,
            sun_height=float(light.sun[2]),
            ambient=light.ambient,
            haze=light.haze,
            zenith=light.zenith,
            density=light.density,
            reach=light.visibility_m,
            lit=1.0,
            tint=1.0,
            pictures=0,
            mask=1,
            scene=2,
            mirrored=float(look.reflection_layer),
            floor_light=0.25 * (light.ambient + 0.5 * light.sun_light),
            shadow_floor=0.55,
            mask_at=(mask.s0_m, mask.d0_m),
            mask_scale=vector_bytes(1 / span),
            veil=light.veiling_glare,
            away=vector_bytes(light.sun if light.sunny else [0, 0, 1]),
            beam_light=light.headlight_beam if lens.in_car else 0.0,
            cloud=float(look.cloud_layer),
            clouds=light.clouds,
            glare=lens.glare,
            dashboard=lens.dashboard,
            drops=float(look.rain_layer),
            rain_light=light.haze * 0.9,
        )

    def _set_camera(self, view: CameraView, matrix: Floats) -> None:
        """Give the programs the camera, and at night the lamps nearest to it."""
        set_uniforms_of_all(self._programs, VP=matrix_bytes(matrix), eye=vector_bytes(view.eye))
        light = self._scene.light
        if light.night:
            lamps = np.zeros((MAX_LAMPS, 4), np.float32)
            far = np.linalg.norm(self._scene.street_lamps - view.eye, axis=1)
            nearest = np.argsort(far)[:MAX_LAMPS]
            lamps[: len(nearest), :3] = self._scene.street_lamps[nearest]
            lamps[: len(nearest), 3] = light.street_lamps * np.clip((90 - far[nearest]) / 30, 0, 1)
            set_uniforms_of_all(
                self._programs, lamps=vector_bytes(lamps), beam=vector_bytes(-view.rotation[:, 2])
            )

    def _visible_actors(self, view: CameraView, matrix: Floats, t_s: float) -> list[VisibleActor]:
        """The actors in sight, the nearest first."""
        poses = interpolate_tracks(self._scene.tracks, t_s)
        if not len(poses):
            return []
        middles = poses[:, X : Z + 1] + self._centres
        far = np.linalg.norm(middles - view.eye, axis=1)
        seen = np.flatnonzero((far < _ACTOR_REACH_M) & in_frustum(matrix, middles, self._radii))
        seen = seen[np.argsort(far[seen], kind="stable")]
        matrices = model_matrices(poses[seen])
        return [
            VisibleActor(
                int(index), poses[index], vector_bytes(placed), view.focal_px / max(float(far[index]), 1.0)
            )
            for index, placed in zip(seen, matrices, strict=True)
        ]

    def _animated_mesh(self, actor: VisibleActor, min_level: int = 0) -> AnimatedMesh:
        """The actor's mesh at the level of detail that its size on the picture asks for, in its pose."""
        body = self._scene.actors[actor.index].body
        level = min(max(level_of_detail(body, actor.px_per_m), min_level), len(body.levels) - 1)
        key = (-1 - actor.index if body.cycles else id(body), level)
        if key not in self._animated_meshes:
            self._animated_meshes[key] = AnimatedMesh(self._renderer, body, level, self._programs)
        moving = self._animated_meshes[key]
        moving.pose(float(actor.pose[STRIDE]))
        return moving

    def _draw_actors(self, sightings: list[VisibleActor]) -> None:
        sunny = self._scene.light.sunny
        for seen in sightings:
            moving = self._animated_mesh(seen)
            lit = self._sunlit_share(seen.pose) if sunny else 1.0
            self._programs[moving.program_name].set_uniforms(
                M=seen.matrix, tint=self._scene.actors[seen.index].tint, lit=lit
            )
            moving.colour_array.render()
        set_uniforms_of_all(self._programs, M=matrix_bytes(np.eye(4)), tint=1.0, lit=1.0)

    def _draw_static(self, program_index: int, matrix: Floats, view: CameraView) -> None:
        """Draw what stands still in colour (which = 0) or as background of the ids (1)."""
        reach, context = self._scene.light.visibility_m, self._renderer.context
        self._solid.draw(program_index, self._solid.cells.visible_runs(matrix, view.eye, reach))
        self._detail.draw(program_index, self._detail.cells.visible_runs(matrix, view.eye, _DETAIL_REACH_M))
        self._ground.draw(
            program_index, self._ground.cells.visible_runs(matrix, view.eye, reach, near_first=False)
        )
        if program_index == 0:
            context.polygon_offset = (-2.0, -40.0)
            marks = self._markings.cells.visible_runs(matrix, view.eye, _MARKINGS_REACH_M, near_first=False)
            self._markings.draw(0, marks)
            context.polygon_offset = (0.0, 0.0)

    def _draw_sky(self, view: CameraView) -> None:
        context = self._renderer.context
        self._programs["sky"].set_uniforms(
            rays=matrix_bytes(ray_matrix(view, self._canvas.width, self._canvas.height))
        )
        context.disable(context.CULL_FACE)
        self._skyline.render(context.TRIANGLE_STRIP)
        self._sky.render()

    def _draw_shadows(self, sightings: list[VisibleActor], view: CameraView) -> None:
        context = self._renderer.context
        context.disable(context.DEPTH_TEST)
        context.enable(context.BLEND)
        context.blend_func = (context.ZERO, context.DST_ALPHA, context.ONE, context.ZERO)
        program, sunny = self._programs["shadow"], self._scene.light.sunny
        for seen in sightings:
            far = float(np.linalg.norm(seen.pose[X : Z + 1] - view.eye))
            if far < _SHADOW_REACH_M:
                program.set_uniforms(M=seen.matrix, floor_m=float(seen.pose[Z]) + 0.01)
                self._animated_mesh(seen, 1 if sunny and far < _FINE_SHADOW_M else 2).shadow_array.render()
        context.disable(context.BLEND)

    def _resolve(self, t_s: float) -> None:
        """Average the samples of each pixel, through windscreen and rain."""
        light, lens = self._scene.light, self._scene.lens
        self._canvas.resolved.use()
        self._canvas.scene_texture.use(2)
        sweep = -1.2 * np.cos(2 * np.pi * lens.wiper_hz * t_s)
        rain = (light.rain, 2.3 * t_s, 0.05 * t_s)
        self._programs["resolve"].set_uniforms(exposure=self._exposure, sweep=float(sweep), rain=rain)
        self._lens.render()

    def _sunlit_share(self, pose: Floats) -> float:
        """The share of the sun that reaches an actor, from the ground's mask."""
        mask = self._scene.sun_mask
        column, row = (pose[S] - mask.s0_m) / mask.step_m, (pose[D] - mask.d0_m) / mask.step_m
        rows, wide = mask.image.shape
        if not (0 <= column < wide - 1 and 0 <= row < rows - 1):
            return 1.0
        c, r = int(column), int(row)
        right, down = column - c, row - r
        patch = mask.image[r : r + 2, c : c + 2] / 255.0
        return float(np.array([1 - down, down]) @ patch @ np.array([1 - right, right]))
