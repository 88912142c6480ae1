"""Scenes of a few boxes on a flat plain, whose images can be computed by hand."""

import functools

import numpy as np
import pytest

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.actors.bodies import ActorInstance, Body
from spikewatch.ingest.simulation.actors.motion import TRACK_COLUMNS
from spikewatch.ingest.simulation.film import CAR, Actor
from spikewatch.ingest.simulation.geometry.camera import LensEffects, look_at
from spikewatch.ingest.simulation.geometry.mesh import build_mesh, empty_mesh, material
from spikewatch.ingest.simulation.geometry.shapes import make_boxes, quad_indices
from spikewatch.ingest.simulation.rendering.film_renderer import FilmRenderer
from spikewatch.ingest.simulation.rendering.opengl import get_renderer
from spikewatch.ingest.simulation.rendering.scene import Scene
from spikewatch.ingest.simulation.world.light import Light, VehicleLights
from spikewatch.ingest.simulation.world.look import Appearance
from spikewatch.ingest.simulation.world.sun_mask import SunMask
from spikewatch.ingest.simulation.world.textures import TextureArray

WIDTH, HEIGHT, FOCAL_PX = 96, 72, 80.0
EYE, TARGET = np.array([0.0, 0.0, 2.0]), np.array([10.0, 0.0, 1.0])
ALBEDO, AMBIENT, SUN = 0.4, 0.3, 0.8


@functools.cache
def _why_no_egl() -> str:
    try:
        get_renderer()
    except SimulationError as error:
        return str(error)
    return ""


needs_egl = pytest.mark.skipif(bool(_why_no_egl()), reason=f"no OpenGL here: {_why_no_egl()}")


def box_body(length=2.0, width=1.0, height=1.0):
    mesh = make_boxes([[0, 0, 0]], [[length, width, height]], material(albedo=0.5), sides=6)
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
        weather="sun",
        sun=sun_at(45) if sun is None else sun,
        sun_light=sun_light,
        ambient=AMBIENT,
        haze=0.8,
        zenith=0.5,
        clouds=0.0,
        density=0.0,
        visibility_m=1e5,
        rain=0.0,
        veiling_glare=0.0,
        vehicle_lights=VehicleLights(),
        street_lamps=0.0,
        headlight_beam=0.0,
        median_luminance=0.35,
    )


def plain_scene(poses, bodies=None, solid=None, light=None):
    """Return a scene of boxes at (x, y, yaw) on a plain of albedo ALBEDO, seen from EYE towards TARGET."""
    bodies = bodies or [box_body() for _ in poses]
    side = np.linspace(-60, 60, 61)
    x, y = np.meshgrid(side, side, indexing="ij")
    points = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3)
    outside = np.tile([1e6, 1e6, 1.0], (len(points), 1))
    corners = quad_indices(61, 61)
    faces = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
    ground = build_mesh(points, outside, np.zeros((len(points), 2)), material(albedo=ALBEDO), faces)
    tracks = [standing(*pose) for pose in poses]
    return Scene(
        solid=solid or empty_mesh(),
        detail=empty_mesh(),
        ground=ground,
        markings=empty_mesh(),
        textures=TextureArray().stack(),
        sun_mask=SunMask(np.full((2, 2), 255, np.uint8), 0.0, 0.0, 1.0),
        light=light or plain_light(),
        appearance=Appearance(0, 0, 0, np.zeros(16)),
        lens=LensEffects(),
        actors=tuple(ActorInstance(Actor(CAR, "car"), body) for body in bodies),
        tracks=np.stack(tracks) if tracks else np.zeros((0, 3, TRACK_COLUMNS), np.float32),
        street_lamps=np.zeros((0, 3)),
        view_at=lambda t_s: look_at(EYE, TARGET, FOCAL_PX),
    )


def render(scene):
    return FilmRenderer(get_renderer(), scene, WIDTH, HEIGHT)


def pixel_of(point):
    """Return (column, row) of a world point by similar triangles, independent of the code under test."""
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
