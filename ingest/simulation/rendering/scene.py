"""A film before it is drawn: geometry, textures, light, actors and their tracks, a camera. Arrays only."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.actors.bodies import Role
from spikewatch.ingest.simulation.geometry.camera import View
from spikewatch.ingest.simulation.geometry.mesh import Floats, Mesh
from spikewatch.ingest.simulation.world.light import Light


@dataclass(frozen=True, slots=True)
class SunMask:
    """Where the sun reaches the ground: picture [rows, columns] uint8 over (d, s), 255 for sunlit.

    Row r, column c is the place s = s0_m + c * step_m, d = d0_m + r * step_m. Beyond it the sun shines.
    """

    picture: NDArray[np.uint8]
    s0_m: float
    d0_m: float
    step_m: float


@dataclass(frozen=True, slots=True)
class Look:
    """Layers with a part of their own: clouds, what paint mirrors, rain drops; and the skyline.

    skyline [N]: by azimuth from 0 to 2 pi, the slope at which what is farthest ends and the sky begins.
    """

    cloud: int
    mirrored: int
    drops: int
    skyline: Floats


@dataclass(frozen=True, slots=True)
class Lens:
    """What is between the camera and the world.

    glare: share of the mirrored dashboard; dashboard: its upper edge as a share of the height, below 0 for
    none; wiper_hz: 0 for none. inside: whether the camera is in a car.
    """

    inside: bool = False
    glare: float = 0.0
    dashboard: float = -1.0
    wiper_hz: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """All of a film.

    solid, detail: what stands still, the detail being drawn near the camera only; ground, markings: what
    shadows fall on, their normals holding (s, d) for the sun mask. textures: [layers, 128, 128] uint8.
    tracks: [A, T, 8] (`motion.py`) of roles [A]. street_lamps: [L, 3].
    """

    solid: Mesh
    detail: Mesh
    ground: Mesh
    markings: Mesh
    textures: NDArray[np.uint8]
    mask: SunMask
    light: Light
    look: Look
    lens: Lens
    roles: tuple[Role, ...]
    tracks: Floats
    street_lamps: Floats
    view: Callable[[float], View]
