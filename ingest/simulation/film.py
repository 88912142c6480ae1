"""Interface between the scene renderer and the event camera: a film, its configuration and its actors.

`scene_generator` makes films; `event_camera` turns them into events.

Labels follow Gen1 (de Tournemire et al., "A Large Scale Event-based Detection Dataset for Automotive", 2020):
cars and pedestrians. Vans, pickups and SUVs are cars. Lorries, buses and two-wheelers are not labelled in
Gen1, so their class_id is None: they are rendered and occlude others, but get no box. A cyclist is a
two-wheeler, not a pedestrian.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

CAR, PEDESTRIAN = 0, 1
"""Gen1's class ids."""

MIN_LUMINANCE, MAX_LUMINANCE = 1e-4, 8.0
SCENARIOS = ("driving", "roadside")
MADE_SCENARIO = "made"
"""Scenario without objects: flicker, rings, sparks, drifting patches, clutter, noise alone."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or vehicle; class_id None: not labelled."""

    class_id: int | None
    type_name: str
    """"car", "van", "pedestrian", "cyclist", "lorry", "bus", ..."""


@dataclass(frozen=True, slots=True)
class FilmConfig:
    """Options of a film; the seed determines everything random.

    Attributes:
        scenario: "driving" (through a windscreen) or "roadside" (from a pole or a tripod).
        meshes: folder of additional meshes, or None for procedural shapes only.
    """

    seed: int
    scenario: str
    seconds: float
    width: int
    height: int
    meshes: Path | None = None


class Film(Protocol):
    """A video that is rendered at any time; times must not decrease from call to call."""

    @property
    def actors(self) -> Sequence[Actor]:
        """The actors; id k of `ids` is actors[k - 1]."""
        ...

    def luminance(self, t_s: float) -> NDArray[np.float32]:
        """Return [H, W], linear, MIN_LUMINANCE to MAX_LUMINANCE; median about 0.35, less at night."""
        ...

    def ids(self, t_s: float) -> NDArray[np.int32]:
        """Return [H, W]: the id of the actor at each pixel's centre, 0 for none."""
        ...

    def close(self) -> None:
        """Release the film's resources; it cannot be rendered afterwards."""
        ...
