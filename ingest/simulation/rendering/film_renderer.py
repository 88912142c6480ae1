"""A scene drawn: luminance and ids for any time (`film.Film`).

The order of drawing: actors and still things from near to far, then the ground, marks on it, the sky where
nothing is, and the shadows of actors. A shadow multiplies what is there by the alpha that the ground left,
and sets alpha to 1: so it darkens the ground once, and nothing else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.actors.motion import STRIDE, D, S, X, Z, at_time
from spikewatch.ingest.simulation.film import Actor
from spikewatch.ingest.simulation.geometry.camera import View, in_sight, projection, rays
from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.rendering.drawables import (
    Moving,
    Sighting,
    Still,
    flags_of,
    level_at,
    placements,
    ridge_of,
)
from spikewatch.ingest.simulation.rendering.opengl import Canvas, Renderer, columns, put_all, raw
from spikewatch.ingest.simulation.rendering.scene import Scene
from spikewatch.ingest.simulation.rendering.shaders import LIGHTS

_DETAIL_REACH_M = 60.0
_ACTOR_REACH_M = 150.0
_SHADOW_REACH_M, _FINE_SHADOW_M = 45.0, 15.0
_MARKS_REACH_M = 75.0
_PROGRAMS = ("matte", "glossy", "ground", "shadow", "sky", "ridge", "resolve", "id")


class StagedFilm:
    """A film of a scene (`film.Film`)."""

    def __init__(self, renderer: Renderer, scene: Scene, width: int, height: int) -> None:
        self._renderer, self._scene = renderer, scene
        self._actors = tuple(role.actor for role in scene.roles)
        self._canvas = Canvas(renderer.context, width, height)
        flags = flags_of(scene)
        self._programs = {name: renderer.program(name, flags) for name in _PROGRAMS}
        still = [self._programs[name] for name in ("matte", "id")]
        self._solid, self._detail = (
            Still(renderer, mesh, still, 24.0) for mesh in (scene.solid, scene.detail)
        )
        flat = [self._programs[name] for name in ("ground", "id")]
        self._ground, self._marks = (
            Still(renderer, mesh, flat, 48.0) for mesh in (scene.ground, scene.markings)
        )
        self._sky, sky_buffers = renderer.picture_grid(self._programs["sky"], 14, 11)
        self._lens, lens_buffers = renderer.picture_grid(self._programs["resolve"], 1, 1)
        self._ridge, ridge_buffer = renderer.strip(self._programs["ridge"], ridge_of(scene.look.skyline))
        self._backdrop = [self._sky, self._lens, self._ridge, *sky_buffers, *lens_buffers, ridge_buffer]
        self._pictures, self._mask = self._textures()
        self._bodies: dict[tuple[int, int], Moving] = {}
        self._radii = np.array([0.5 * np.linalg.norm(role.body.size_m) + 0.3 for role in scene.roles])
        self._middles = np.array([[0, 0, 0.5 * role.body.size_m[2]] for role in scene.roles]).reshape(-1, 3)
        self._exposure = 1.0

    @property
    def actors(self) -> Sequence[Actor]:
        """Id k in the id picture is actors[k - 1]."""
        return self._actors

    @property
    def scene(self) -> Scene:
        """What is filmed."""
        return self._scene

    def expose(self, times_s: Sequence[float]) -> None:
        """Set the exposure so that the median luminance over these times is the light's."""
        self._exposure = 1.0
        medians = [float(np.median(self.luminance(t_s))) for t_s in times_s]
        self._exposure = self._scene.light.median / max(float(np.median(medians)), 1e-3)

    def luminance(self, t_s: float) -> NDArray[np.float32]:
        """[H, W], linear, first row on top."""
        view = self._scene.view(t_s)
        matrix = projection(view, self._canvas.width, self._canvas.height)
        context = self._renderer.context
        self._canvas.begin()
        context.enable(context.DEPTH_TEST | context.CULL_FACE)
        context.disable(context.BLEND)
        self._pictures.use(0)
        self._mask.use(1)
        self._take_over()
        self._look(view, matrix)
        sightings = self._sight(view, matrix, t_s)
        self._draw_actors(sightings)
        self._draw_still(0, matrix, view)
        self._draw_sky(view)
        self._draw_shadows(sightings, view)
        self._resolve(t_s)
        return self._canvas.read(self._canvas.small).copy()

    def ids(self, t_s: float, only: int | None = None, without_still: bool = False) -> NDArray[np.int32]:
        """[H, W]: 1 + the index of the actor at each pixel's centre, 0 for none.

        only: show no other actor than this id. without_still: show neither street nor ground.
        """
        view = self._scene.view(t_s)
        matrix = projection(view, self._canvas.width, self._canvas.height)
        context = self._renderer.context
        self._canvas.id_picture.use()
        context.enable(context.DEPTH_TEST | context.CULL_FACE)
        context.disable(context.BLEND)
        self._canvas.id_picture.clear(0, 0, 0, 0)
        program = self._programs["id"]
        program.put(VP=columns(matrix))
        for seen in self._sight(view, matrix, t_s):
            if only in (None, seen.index + 1):
                program.put(M=seen.matrix, id=float(seen.index + 1))
                self._moving(seen).id.render()
        if not without_still:
            program.put(id=0.0, M=columns(np.eye(4)))
            self._draw_still(1, matrix, view)
        return np.rint(self._canvas.read(self._canvas.id_picture)).astype(np.int32)

    def close(self) -> None:
        """Give back textures and buffers."""
        stills = (self._solid, self._detail, self._ground, self._marks)
        arrays = [array for still in stills for array in still.arrays]
        arrays += [array for body in self._bodies.values() for array in (body.colour, body.id, body.shadow)]
        buffers = [buffer for still in stills for buffer in still.buffers]
        buffers += [buffer for body in self._bodies.values() for buffer in body.buffers]
        for owned in (*arrays, *buffers, *self._backdrop, self._pictures, self._mask):
            owned.release()
        self._canvas.release()

    def _textures(self) -> tuple[Any, Any]:
        context, stack, mask = self._renderer.context, self._scene.textures, self._scene.mask.picture
        linear = (context.LINEAR_MIPMAP_NEAREST, context.LINEAR)
        layers, high, wide = stack.shape
        pictures = context.texture_array((wide, high, layers), 1, stack.tobytes(), alignment=1)
        pictures.build_mipmaps()
        pictures.filter = linear
        ground = context.texture((mask.shape[1], mask.shape[0]), 1, mask.tobytes(), alignment=1)
        ground.filter = (context.LINEAR, context.LINEAR)
        ground.repeat_x = ground.repeat_y = False
        return pictures, ground

    def _take_over(self) -> None:
        """Give the programs, which films share, this film's light."""
        if self._renderer.owner is self:
            return
        self._renderer.owner = self
        light, mask, look, lens = self._scene.light, self._scene.mask, self._scene.look, self._scene.lens
        span = np.array(mask.picture.shape[::-1]) * mask.step_m
        put_all(
            self._programs, M=columns(np.eye(4)), sun=raw(light.sun), sun_light=light.sun_light,
            sun_height=float(light.sun[2]), ambient=light.ambient, haze=light.haze, zenith=light.zenith,
            density=light.density, reach=light.reach_m, lit=1.0, tint=1.0, pictures=0, mask=1, scene=2,
            mirrored=float(look.mirrored), floor_light=0.25 * (light.ambient + 0.5 * light.sun_light),
            shadow_floor=0.55, mask_at=(mask.s0_m, mask.d0_m), mask_scale=raw(1 / span), veil=light.veil,
            away=raw(light.sun if light.sunny else [0, 0, 1]), beam_light=light.beam if lens.inside else 0.0,
            cloud=float(look.cloud), clouds=light.clouds, glare=lens.glare, dashboard=lens.dashboard,
            drops=float(look.drops), rain_light=light.haze * 0.9,
        )  # fmt: skip

    def _look(self, view: View, matrix: Floats) -> None:
        """Give the programs the camera, and at night the lamps nearest to it."""
        put_all(self._programs, VP=columns(matrix), eye=raw(view.eye))
        light = self._scene.light
        if light.night:
            lamps = np.zeros((LIGHTS, 4), np.float32)
            far = np.linalg.norm(self._scene.street_lamps - view.eye, axis=1)
            nearest = np.argsort(far)[:LIGHTS]
            lamps[: len(nearest), :3] = self._scene.street_lamps[nearest]
            lamps[: len(nearest), 3] = light.street_lamps * np.clip((90 - far[nearest]) / 30, 0, 1)
            put_all(self._programs, lamps=raw(lamps), beam=raw(-view.turn[:, 2]))

    def _sight(self, view: View, matrix: Floats, t_s: float) -> list[Sighting]:
        """The actors in sight, the nearest first."""
        poses = at_time(self._scene.tracks, t_s)
        if not len(poses):
            return []
        middles = poses[:, X : Z + 1] + self._middles
        far = np.linalg.norm(middles - view.eye, axis=1)
        seen = np.flatnonzero((far < _ACTOR_REACH_M) & in_sight(matrix, middles, self._radii))
        seen = seen[np.argsort(far[seen], kind="stable")]
        matrices = placements(poses[seen])
        return [
            Sighting(int(index), poses[index], raw(placed), view.focal_px / max(float(far[index]), 1.0))
            for index, placed in zip(seen, matrices, strict=True)
        ]

    def _moving(self, seen: Sighting, least_level: int = 0) -> Moving:
        """The actor's mesh at the level of detail that its size on the picture asks for, in its pose."""
        body = self._scene.roles[seen.index].body
        level = min(max(level_at(body, seen.px_per_m), least_level), len(body.levels) - 1)
        key = (-1 - seen.index if body.cycles else id(body), level)
        if key not in self._bodies:
            self._bodies[key] = Moving(self._renderer, body, level, self._programs)
        moving = self._bodies[key]
        moving.pose(float(seen.pose[STRIDE]))
        return moving

    def _draw_actors(self, sightings: list[Sighting]) -> None:
        sunny = self._scene.light.sunny
        for seen in sightings:
            moving = self._moving(seen)
            lit = self._sunlit(seen.pose) if sunny else 1.0
            self._programs[moving.lit_by].put(M=seen.matrix, tint=self._scene.roles[seen.index].tint, lit=lit)
            moving.colour.render()
        put_all(self._programs, M=columns(np.eye(4)), tint=1.0, lit=1.0)

    def _draw_still(self, which: int, matrix: Floats, view: View) -> None:
        """Draw what stands still in colour (which = 0) or as background of the ids (1)."""
        reach, context = self._scene.light.reach_m, self._renderer.context
        self._solid.draw(which, self._solid.chunks.visible(matrix, view.eye, reach))
        self._detail.draw(which, self._detail.chunks.visible(matrix, view.eye, _DETAIL_REACH_M))
        self._ground.draw(which, self._ground.chunks.visible(matrix, view.eye, reach, near_first=False))
        if which == 0:
            context.polygon_offset = (-2.0, -40.0)
            marks = self._marks.chunks.visible(matrix, view.eye, _MARKS_REACH_M, near_first=False)
            self._marks.draw(0, marks)
            context.polygon_offset = (0.0, 0.0)

    def _draw_sky(self, view: View) -> None:
        context = self._renderer.context
        self._programs["sky"].put(rays=columns(rays(view, self._canvas.width, self._canvas.height)))
        context.disable(context.CULL_FACE)
        self._ridge.render(context.TRIANGLE_STRIP)
        self._sky.render()

    def _draw_shadows(self, sightings: list[Sighting], view: View) -> None:
        context = self._renderer.context
        context.disable(context.DEPTH_TEST)
        context.enable(context.BLEND)
        context.blend_func = (context.ZERO, context.DST_ALPHA, context.ONE, context.ZERO)
        program, sunny = self._programs["shadow"], self._scene.light.sunny
        for seen in sightings:
            far = float(np.linalg.norm(seen.pose[X : Z + 1] - view.eye))
            if far < _SHADOW_REACH_M:
                program.put(M=seen.matrix, floor_m=float(seen.pose[Z]) + 0.01)
                self._moving(seen, 1 if sunny and far < _FINE_SHADOW_M else 2).shadow.render()
        context.disable(context.BLEND)

    def _resolve(self, t_s: float) -> None:
        """Average the samples of each pixel, through windscreen and rain."""
        light, lens = self._scene.light, self._scene.lens
        self._canvas.small.use()
        self._canvas.scene.use(2)
        sweep = -1.2 * np.cos(2 * np.pi * lens.wiper_hz * t_s)
        rain = (light.rain, 2.3 * t_s, 0.05 * t_s)
        self._programs["resolve"].put(exposure=self._exposure, sweep=float(sweep), rain=rain)
        self._lens.render()

    def _sunlit(self, pose: Floats) -> float:
        """The share of the sun that reaches an actor, from the ground's mask."""
        mask = self._scene.mask
        column, row = (pose[S] - mask.s0_m) / mask.step_m, (pose[D] - mask.d0_m) / mask.step_m
        rows, wide = mask.picture.shape
        if not (0 <= column < wide - 1 and 0 <= row < rows - 1):
            return 1.0
        c, r = int(column), int(row)
        right, down = column - c, row - r
        patch = mask.picture[r : r + 2, c : c + 2] / 255.0
        return float(np.array([1 - down, down]) @ patch @ np.array([1 - right, right]))
