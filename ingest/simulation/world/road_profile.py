"""The cross-section of a road: lanes, parking, kerbs and pavements, in metres to the left of its centre."""

from dataclasses import dataclass

import numpy as np

SETTINGS = ("city", "suburb", "country", "motorway")


@dataclass(frozen=True, slots=True)
class Lane:
    """d_m: its middle; direction: +1 along the road, -1 against it."""

    d_m: float
    direction: int


@dataclass(frozen=True, slots=True)
class Profile:
    """What lies across a road. half_m: from the centre to the kerb; pavement_m: 0 for none."""

    setting: str
    lane_m: float
    lanes: tuple[Lane, ...]
    half_m: float
    parking_d_m: tuple[float, ...]
    pavement_m: float
    kerb_m: float
    divided: bool
    """Whether a strip with a barrier parts the two directions."""

    @property
    def edge_m(self) -> float:
        """From the centre to the outer edge of the pavement."""
        return self.half_m + self.pavement_m

    def right_lanes(self) -> list[Lane]:
        """The lanes of direction +1, the outermost first."""
        return sorted((lane for lane in self.lanes if lane.direction > 0), key=lambda lane: lane.d_m)


def draw_profile(rng: np.random.Generator, setting: str) -> Profile:
    """A cross-section as the setting has them; traffic keeps to the right."""
    if setting == "motorway":
        return _motorway(rng)
    if setting == "country":
        lane = rng.uniform(2.8, 3.6)
        return _two_way(setting, lane, 1, rng.uniform(0.1, 0.8), (False, False), 0.0, 0.0)
    lane = rng.uniform(2.8, 3.5)
    per_side = 2 if setting == "city" and rng.random() < 0.25 else 1
    parking = (bool(rng.random() < 0.6), bool(rng.random() < 0.6))
    pavement = rng.uniform(1.6, 5.0) if setting == "city" else rng.uniform(1.2, 2.5)
    return _two_way(
        setting, lane, per_side, rng.uniform(0.0, 0.5), parking, pavement, rng.uniform(0.08, 0.16)
    )


def _two_way(
    setting: str, lane_m: float, per_side: int, margin_m: float, parking: tuple[bool, bool],
    pavement_m: float, kerb_m: float,
) -> Profile:  # fmt: skip
    lanes = []
    for index in range(per_side):
        middle = (index + 0.5) * lane_m
        lanes += [Lane(-middle, 1), Lane(middle, -1)]
    carriageway = per_side * lane_m + margin_m
    half = carriageway + (2.1 if any(parking) else 0.0)
    places = tuple(side * (half - 1.05) for side, used in zip((-1, 1), parking, strict=True) if used)
    return Profile(setting, lane_m, tuple(lanes), half, places, pavement_m, kerb_m, divided=False)


def _motorway(rng: np.random.Generator) -> Profile:
    lane, count, median = rng.uniform(3.4, 3.75), int(rng.integers(2, 4)), rng.uniform(1.5, 5.0)
    lanes = []
    for index in range(count):
        middle = median + (index + 0.5) * lane
        lanes += [Lane(-middle, 1), Lane(middle, -1)]
    half = median + count * lane + rng.uniform(1.0, 3.0)
    return Profile("motorway", lane, tuple(lanes), half, (), 0.0, 0.0, divided=True)
