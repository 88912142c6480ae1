"""What the two halves of the simulator share: a film to watch, and the actors in it.

One half makes films (`ingest/simulation/scene_generator.py`), the other watches them through an event camera.

Who gets a label follows Gen1 (de Tournemire et al., "A Large Scale Event-based Detection Dataset for
Automotive", 2020): cars and pedestrians. Vans, pickups and SUVs are cars. Lorries, buses and two-wheelers
are not labelled there, so they have class_id None here: they are filmed, they hide others, they get no box.
A cyclist is a two-wheeler, not a pedestrian.
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


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone or something that moves or could be detected; class_id None: no label."""

    class_id: int | None
    type_name: str
    """"car", "van", "pedestrian", "cyclist", "lorry", "bus", ..."""


@dataclass(frozen=True, slots=True)
class FilmConfig:
    """What to film; everything random in it comes from the seed.

    scenario: "driving" (through a windscreen) or "roadside" (from a pole or a tripod).
    meshes: a folder of meshes that enrich the film, or None for shapes of the simulator's own making.
    """

    seed: int
    scenario: str
    seconds: float
    width: int
    height: int
    meshes: Path | None = None


class Film(Protocol):
    """A moving picture that can be looked at for any time, as long as time does not run backwards."""

    @property
    def actors(self) -> Sequence[Actor]:
        """Id k in the id picture is actors[k - 1]."""
        ...

    def luminance(self, t_s: float) -> NDArray[np.float32]:
        """[H, W], linear, LEAST_ to MAX_LUMINANCE; the film's median is about 0.35, less at night."""
        ...

    def ids(self, t_s: float) -> NDArray[np.int32]:
        """[H, W]: the id of the actor seen at each pixel's centre, 0 for none."""
        ...

    def close(self) -> None:
        """Give back what the film holds; it cannot be looked at afterwards."""
        ...
