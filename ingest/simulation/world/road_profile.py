"""Cross-section of a road: lanes, parking, kerbs and pavements, in metres to the left of its centre."""

from dataclasses import dataclass

import numpy as np

ROAD_SETTINGS = ("city", "suburb", "country", "motorway")


@dataclass(frozen=True, slots=True)
class TrafficLane:
    """A lane; d_m is its centre, direction +1 along the road, -1 against it."""

    d_m: float
    direction: int


@dataclass(frozen=True, slots=True)
class RoadProfile:
    """Cross-section of a road; half_width_m is from the centre to the kerb, pavement_width_m 0 for none."""

    setting: str
    lane_width_m: float
    lanes: tuple[TrafficLane, ...]
    half_width_m: float
    parking_d_m: tuple[float, ...]
    pavement_width_m: float
    kerb_height_m: float
    divided: bool
    """Whether a strip with a barrier separates the directions."""

    @property
    def edge_offset_m(self) -> float:
        """Distance from the centre to the outer edge of the pavement."""
        return self.half_width_m + self.pavement_width_m

    def right_lanes(self) -> list[TrafficLane]:
        """Return the lanes of direction +1, the outermost first."""
        return sorted((lane for lane in self.lanes if lane.direction > 0), key=lambda lane: lane.d_m)


def sample_road_profile(rng: np.random.Generator, setting: str) -> RoadProfile:
    """Sample a cross-section for a setting; traffic keeps to the right."""
    if setting == "motorway":
        return _sample_motorway_profile(rng)
    if setting == "country":
        lane = rng.uniform(2.8, 3.6)
        return _two_way_profile(setting, lane, 1, rng.uniform(0.1, 0.8), (False, False), 0.0, 0.0)
    lane = rng.uniform(2.8, 3.5)
    per_side = 2 if setting == "city" and rng.random() < 0.25 else 1
    parking = (bool(rng.random() < 0.6), bool(rng.random() < 0.6))
    pavement = rng.uniform(1.6, 5.0) if setting == "city" else rng.uniform(1.2, 2.5)
    return _two_way_profile(
        setting, lane, per_side, rng.uniform(0.0, 0.5), parking, pavement, rng.uniform(0.08, 0.16)
    )


def _two_way_profile(
    setting: str, lane_width_m: float, per_side: int, margin_m: float, parking: tuple[bool, bool],
    pavement_width_m: float, kerb_height_m: float,
) -> RoadProfile:  # fmt: skip
    lanes = []
    for index in range(per_side):
        centre = (index + 0.5) * lane_width_m
        lanes += [TrafficLane(-centre, 1), TrafficLane(centre, -1)]
    carriageway = per_side * lane_width_m + margin_m
    half = carriageway + (2.1 if any(parking) else 0.0)
    parking_d = tuple(side * (half - 1.05) for side, used in zip((-1, 1), parking, strict=True) if used)
    return RoadProfile(
        setting, lane_width_m, tuple(lanes), half, parking_d, pavement_width_m, kerb_height_m, divided=False
    )


def _sample_motorway_profile(rng: np.random.Generator) -> RoadProfile:
    lane, count, median = rng.uniform(3.4, 3.75), int(rng.integers(2, 4)), rng.uniform(1.5, 5.0)
    lanes = []
    for index in range(count):
        centre = median + (index + 0.5) * lane
        lanes += [TrafficLane(-centre, 1), TrafficLane(centre, -1)]
    half = median + count * lane + rng.uniform(1.0, 3.0)
    return RoadProfile("motorway", lane, tuple(lanes), half, (), 0.0, 0.0, divided=True)
