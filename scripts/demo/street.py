"""The junction and its traffic: what stands and what moves at time t, seen from a car that waits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from scripts.demo.camera import Pose
from scripts.demo.cars import HATCHBACK, SALOON, VAN, CarShape, car, shadow, wheels
from scripts.demo.people import Person, walker
from scripts.demo.shapes import Floats, Mesh, capsule, disc, join, rectangle
from scripts.demo.textures import Texture

CAR, PEDESTRIAN = 0, 1

ROAD_LEFT, ROAD_RIGHT = -5.3, 1.9
CROSSING_NEAR, CROSSING_FAR = 9.0, 16.9
FRONT = 19.4
STREET_END = 90.0


def _ground(x0: float, x1: float, z0: float, z1: float, albedo: float, texture: Texture, y: float) -> Mesh:
    tile = 3.0 if texture is Texture.ASPHALT else 2.4
    repeats = ((x1 - x0) / tile, (z1 - z0) / tile)
    return rectangle((x0, y, z0), (x1 - x0, 0, 0), (0, 0, z1 - z0), albedo, texture, repeats)


def _roads() -> list[Mesh]:
    asphalt, paving = (0.2, Texture.ASPHALT), (0.33, Texture.PAVING)
    parts = [
        _ground(ROAD_LEFT, ROAD_RIGHT, 1.5, CROSSING_NEAR, *asphalt, 0.0),
        _ground(-45, 45, CROSSING_NEAR, CROSSING_FAR, *asphalt, 0.0),
        _ground(ROAD_LEFT, ROAD_RIGHT, CROSSING_FAR, STREET_END, *asphalt, 0.0),
    ]
    for outer, inner in ((-45.0, ROAD_LEFT), (45.0, ROAD_RIGHT)):
        x0, x1 = sorted((outer, inner))
        parts.append(_ground(x0, x1, 1.5, CROSSING_NEAR, *paving, 0.1))
        parts.append(_ground(x0, x1, CROSSING_FAR, STREET_END, *paving, 0.1))
        parts.append(rectangle((x0, 0, CROSSING_FAR), (x1 - x0, 0, 0), (0, 0.1, 0), 0.45))
        for z0, z1 in ((1.5, CROSSING_NEAR), (CROSSING_FAR, STREET_END)):
            parts.append(rectangle((inner, 0, z0), (0, 0, z1 - z0), (0, 0.1, 0), 0.45))
    return parts


def _markings() -> list[Mesh]:
    paint, plain = 0.5, Texture.PLAIN
    parts = [_ground(x, x + 0.5, 6.4, 8.4, paint, plain, 0.006) for x in np.arange(ROAD_LEFT + 0.3, 1.6, 1.0)]
    parts.append(_ground(-1.6, 1.7, 5.2, 5.5, paint, plain, 0.006))
    parts += [_ground(x, x + 1.6, 12.5, 12.62, paint, plain, 0.006) for x in np.arange(-30.0, 30, 4.0)]
    parts += [_ground(-1.76, -1.64, z, z + 2.5, paint, plain, 0.006) for z in np.arange(19.0, 80, 6.0)]
    return parts


def _buildings(rng: np.random.Generator) -> list[Mesh]:
    parts = []
    looks = (Texture.FACADE_TALL, Texture.FACADE_WIDE)
    for corner, outward in ((ROAD_LEFT - 2.8, -1), (ROAD_RIGHT + 2.8, 1)):
        x = corner
        for k in range(4):
            width, height = rng.uniform(7, 10), rng.uniform(9, 14)
            grey, repeats = rng.uniform(0.3, 0.45), (width / 9, height / 9)
            wall = rectangle(
                (x, 0, FRONT), (outward * width, 0, 0), (0, height, 0), grey, looks[k % 2], repeats
            )
            parts.append(wall)
            x += outward * width
        z = FRONT
        while z < STREET_END:
            depth, height = rng.uniform(8, 12), rng.uniform(8, 14)
            grey, repeats = rng.uniform(0.25, 0.45), (depth / 9, height / 9)
            look = looks[int(rng.integers(2))]
            parts.append(rectangle((corner, 0, z), (0, 0, depth), (0, height, 0), grey, look, repeats))
            parts.append(rectangle((corner, 0, z + 0.1), (outward * 8, 0, 0), (0, height, 0), grey))
            z += depth
    return parts


def _lamp_post(x: float, z: float, height: float) -> list[Mesh]:
    post = capsule((x, 0, z), (x, height, z), (0.08, 0.06), 0.1)
    arm = capsule((x, height, z), (x + 1.1, height + 0.15, z), (0.05, 0.04), 0.1)
    return [post, arm, capsule((x + 0.9, height + 0.1, z), (x + 1.4, height + 0.12, z), (0.08, 0.08), 0.7)]


def _traffic_light(x: float, z: float) -> list[Mesh]:
    parts = [capsule((x, 0, z), (x, 2.5, z), (0.06, 0.06), 0.12)]
    parts.append(rectangle((x - 0.16, 2.3, z - 0.1), (0.32, 0, 0), (0, 0.95, 0), 0.04))
    for k, brightness in enumerate((0.05, 0.07, 1.3)):
        parts.append(disc((x, 2.45 + 0.3 * k, z - 0.12), 0.11, brightness))
    return parts


def _tree(rng: np.random.Generator, x: float, z: float) -> list[Mesh]:
    parts = [capsule((x, 0, z), (x, 2.4, z), (0.14, 0.1), 0.1)]
    for _ in range(14):
        dx, dy, dz = rng.normal(0, (0.75, 0.65, 0.4))
        albedo = rng.uniform(0.08, 0.16)
        parts.append(disc((x + dx, 3.4 + dy, z + dz), rng.uniform(0.4, 0.75), albedo, Texture.LEAVES, dx * 9))
    return parts


def scenery(seed: int) -> Mesh:
    """Everything that stands still and casts no shadow, lit."""
    rng = np.random.default_rng(seed)
    solid = join([*_roads(), *_markings(), *_buildings(rng)]).lit()
    sky = rectangle((-90, -5, STREET_END), (180, 0, 0), (0, 110, 0), 0.95, Texture.SKY)
    stands = [*_lamp_post(-6.0, 17.3, 5.2), *_traffic_light(2.6, 8.7), *_tree(rng, 9.2, 18.0)]
    stands += [*_tree(rng, -9.4, 18.4), *_lamp_post(2.2, 30.0, 5.2)]
    return join([solid, sky, *stands])


@dataclass(frozen=True)
class Actor:
    """One road user: its class and what it looks like, with its shadow, at a time in seconds."""

    class_id: int
    mesh: Callable[[float], Mesh]
    shadow: Callable[[float], Mesh]


def _driver(
    shape: CarShape, paint: float, start: tuple[float, float], yaw_rad: float, way: Callable[[float], float]
) -> Actor:
    """A car whose tail starts at (x, z) and has gone way(t) metres along its yaw."""
    hull = car(shape, paint).turned(yaw_rad)
    heading = np.array([np.cos(yaw_rad), 0.0, np.sin(yaw_rad)])
    origin = np.array([start[0], 0.0, start[1]])
    lit_hull = hull.at(origin).lit()
    dark = shadow(shape.length, shape.width, 0.6).turned(yaw_rad)

    def mesh(t: float) -> Mesh:
        turning = wheels(shape, way(t)).turned(yaw_rad).at(origin).lit()
        return join([lit_hull, turning]).at(heading * way(t))

    return Actor(CAR, mesh, lambda t: dark.at(origin + heading * way(t)))


def _stroller(look: Person, start: tuple[float, float], yaw_rad: float, speed: float) -> Actor:
    heading = np.array([np.cos(yaw_rad), 0.0, np.sin(yaw_rad)])
    origin = np.array([start[0], 0.02, start[1]])

    def place(t: float) -> Floats:
        return origin + heading * speed * t

    return Actor(
        PEDESTRIAN,
        lambda t: walker(look, place(t), speed * t + start[0], yaw_rad),
        lambda t: shadow(0.6, 0.35, 0.5).at(place(t) - np.array([0.2, 0, 0])),
    )


def traffic() -> list[Actor]:
    """The cast: two cars crossing, a van approaching, one car parked; three people on foot."""
    east, west, south = 0.0, np.pi, -np.pi / 2
    return [
        _driver(SALOON, 0.6, (-9.7, 11.3), east, lambda t: 4.0 * t),
        _driver(HATCHBACK, 0.08, (11.2, 13.7), west, lambda t: 3.6 * t),
        _driver(VAN, 0.42, (-3.4, 42.0), south, lambda t: 8.0 * t - 0.9 * t * t),
        _driver(HATCHBACK, 0.34, (4.9, 15.9), east, lambda _t: 0.0),
        _stroller(Person(1.8, 0.5, 0.07), (-3.3, 7.3), east, 1.35),
        _stroller(Person(1.68, 0.07, 0.3, bag=True), (3.5, 7.9), west, 1.2),
        _stroller(Person(1.75, 0.12, 0.08), (-7.4, 17.6), east, 1.3),
    ]


def camera_pose(t: float) -> Pose:
    """The waiting car: it creeps, sways and trembles with its engine."""
    tremble = 0.0002 * np.sin(2 * np.pi * 13.0 * t)
    return Pose(
        yaw_rad=0.003 * np.sin(2 * np.pi * 0.31 * t),
        pitch_rad=0.055 + 0.0008 * np.sin(2 * np.pi * 0.9 * t) + tremble,
        roll_rad=0.001 * np.sin(2 * np.pi * 0.6 * t),
        forward_m=0.06 * t,
    )


def cast(actors: list[Actor], t: float) -> Iterator[tuple[int, Mesh]]:
    """Owner numbers, from one, with each actor's mesh at time t."""
    for number, actor in enumerate(actors, start=1):
        yield number, actor.mesh(t)
