"""A film before it is drawn: geometry, textures, light, actors and their tracks, a camera. Arrays only."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.actors.bodies import ActorInstance
from spikewatch.ingest.simulation.geometry.camera import CameraView, LensEffects
from spikewatch.ingest.simulation.geometry.mesh import Floats, Mesh
from spikewatch.ingest.simulation.world.light import Light
from spikewatch.ingest.simulation.world.look import Appearance
from spikewatch.ingest.simulation.world.sun_mask import SunMask


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
    sun_mask: SunMask
    light: Light
    appearance: Appearance
    lens: LensEffects
    actors: tuple[ActorInstance, ...]
    tracks: Floats
    street_lamps: Floats
    view_at: Callable[[float], CameraView]
