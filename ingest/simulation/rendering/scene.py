"""Scene of a film, before rendering: geometry, textures, light, actors, tracks and camera, as arrays."""

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
    """Everything that the renderer draws.

    Attributes:
        solid, detail: static meshes; detail is drawn only near the camera.
        ground, markings: meshes that receive shadows; their normals hold (s, d) for the sun mask.
        textures: [layers, 128, 128] uint8.
        tracks: [A, T, 8], tracks (`motion`) of the actors [A].
        street_lamps: [L, 3].
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
