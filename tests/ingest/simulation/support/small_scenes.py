"""Scenes of a flat plain with a few boxes on it, whose pictures can be worked out by hand."""

import functools

import numpy as np
import pytest

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.actors.bodies import Body, Role
from spikewatch.ingest.simulation.actors.motion import TRACK_COLUMNS
from spikewatch.ingest.simulation.film import CAR, Actor
from spikewatch.ingest.simulation.geometry.camera import Lens, look_at
from spikewatch.ingest.simulation.geometry.mesh import assemble, nothing, paint
from spikewatch.ingest.simulation.geometry.shapes import boxes, quad_corners
from spikewatch.ingest.simulation.rendering.film_renderer import StagedFilm
from spikewatch.ingest.simulation.rendering.opengl import open_renderer
from spikewatch.ingest.simulation.rendering.scene import Scene
from spikewatch.ingest.simulation.world.light import Lamps, Light
from spikewatch.ingest.simulation.world.look import Look
from spikewatch.ingest.simulation.world.sun_mask import SunMask
from spikewatch.ingest.simulation.world.textures import TextureShelf

WIDTH, HEIGHT, FOCAL_PX = 96, 72, 80.0
EYE, TARGET = np.array([0.0, 0.0, 2.0]), np.array([10.0, 0.0, 1.0])
ALBEDO, AMBIENT, SUN = 0.4, 0.3, 0.8


@functools.cache
def _why_no_egl() -> str:
    try:
        open_renderer()
    except SimulationError as error:
        return str(error)
    return ""


needs_egl = pytest.mark.skipif(bool(_why_no_egl()), reason=f"no OpenGL here: {_why_no_egl()}")


def box_body(length=2.0, width=1.0, height=1.0):
    mesh = boxes([[0, 0, 0]], [[length, width, height]], paint(albedo=0.5), sides=6)
    return Body((mesh,), (length, width, height))


def standing(x, y, yaw=0.0):
    track = np.zeros((3, TRACK_COLUMNS), np.float32)
    track[:, 0], track[:, 1], track[:, 3], track[:, 6:] = x, y, yaw, 1e6
    return track


def sun_at(height_degrees):
    angle = np.radians(height_degrees)
    return np.array([0.0, np.cos(angle), np.sin(angle)])


def plain_light(sun_light=SUN, sun=None):
    return Light(
        weather="sun", sun=sun_at(45) if sun is None else sun, sun_light=sun_light, ambient=AMBIENT, haze=0.8,
        zenith=0.5, clouds=0.0, density=0.0, reach_m=1e5, rain=0.0, veil=0.0, lamps=Lamps(), street_lamps=0.0,
        beam=0.0, median=0.35,
    )  # fmt: skip


def plain_scene(places, bodies=None, solid=None, light=None):
    """Boxes at places (x, y, yaw) on a plain of albedo ALBEDO, seen from EYE towards TARGET."""
    bodies = bodies or [box_body() for _ in places]
    side = np.linspace(-60, 60, 61)
    x, y = np.meshgrid(side, side, indexing="ij")
    points = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    outside = np.tile([1e6, 1e6, 1.0], (len(points), 1))
    corners = quad_corners(61, 61)
    faces = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
    ground = assemble(points, outside, np.zeros((len(points), 2)), paint(albedo=ALBEDO), faces)
    tracks = [standing(*place) for place in places]
    return Scene(
        solid=solid or nothing(), detail=nothing(), ground=ground, markings=nothing(),
        textures=TextureShelf().stack(), mask=SunMask(np.full((2, 2), 255, np.uint8), 0.0, 0.0, 1.0),
        light=light or plain_light(), look=Look(0, 0, 0, np.zeros(16)), lens=Lens(),
        roles=tuple(Role(Actor(CAR, "car"), body) for body in bodies),
        tracks=np.stack(tracks) if tracks else np.zeros((0, 3, TRACK_COLUMNS), np.float32),
        street_lamps=np.zeros((0, 3)), view=lambda t_s: look_at(EYE, TARGET, FOCAL_PX),
    )  # fmt: skip


def stage(scene):
    return StagedFilm(open_renderer(), scene, WIDTH, HEIGHT)


def pixel_of(point):
    """(column, row) of a world point, by similar triangles: an oracle apart from the code under test."""
    ahead = (TARGET - EYE) / np.linalg.norm(TARGET - EYE)
    right = np.cross(ahead, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(ahead, right)
    offset = np.asarray(point, float) - EYE
    depth = offset @ ahead
    return (
        WIDTH / 2 + FOCAL_PX * (offset @ right) / depth,
        HEIGHT / 2 + FOCAL_PX * (offset @ down) / depth,
    )
