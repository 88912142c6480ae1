"""State, counts and events of zones, with the bounds that are checked when a snapshot is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from spikewatch.service.zones.schema import Zone, ZoneName

MAX_TRACKED = 500
"""Tracks of a session; `tracker.MAX_TRACKS`."""

Number = Annotated[int, Field(ge=0, le=2**53)]
Time = Annotated[int, Field(ge=-(2**53), le=2**53)]
Place = Annotated[float, Field(ge=-1e18, le=1e18, allow_inf_nan=False)]
PerClass = Annotated[tuple[Number, ...], Field(max_length=1000)]
EventKind = Literal["entered", "left", "crossed", "dwelling"]
Direction = Literal["in", "out"]


@dataclass(frozen=True, slots=True)
class Stay:
    """A track inside a polygon.

    Attributes:
        since_us, last_us: times at which it entered, and was last seen.
        dwelling: whether `dwelling` was reported.
    """

    track_id: Number
    class_id: Number
    since_us: Time
    last_us: Time
    dwelling: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """The side of a line on which a track was last seen, farther than the margin from the line."""

    track_id: Number
    right: bool
    point_px: tuple[Place, Place]


@dataclass(frozen=True, slots=True)
class ZoneState:
    """State of one zone between two results.

    Attributes:
        entered, left: tracks of each class so far; of a line, those that crossed in and out.
        stays: tracks inside a polygon.
        sides: tracks at a line.
        ended_stays_us: total time of stays that ended.
    """

    entered: PerClass
    left: PerClass
    stays: Annotated[tuple[Stay, ...], Field(max_length=MAX_TRACKED)] = ()
    sides: Annotated[tuple[Side, ...], Field(max_length=MAX_TRACKED)] = ()
    ended_stays_us: Number = 0


@dataclass(frozen=True, slots=True)
class ZoneEvent:
    """Something that a track did.

    Attributes:
        direction: of `crossed`.
        dwell_us: time inside so far, of `left` and `dwelling`.
        lost: the track was lost inside, so it left when it was last seen.
    """

    kind: EventKind
    zone: ZoneName
    t_us: Time
    track_id: Number
    class_id: Number
    direction: Direction | None = None
    dwell_us: Number | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class ZoneCounts:
    """Counts of one zone at a result, for each class.

    Attributes:
        entered, left: since the session began; of a line, those that crossed in and out.
        inside: tracks inside now; zero for a line.
        mean_dwell_s: of the stays that ended; None without any.
    """

    zone: ZoneName
    entered: PerClass
    left: PerClass
    inside: PerClass
    mean_dwell_s: Annotated[float | None, Field(ge=0, le=1e18, allow_inf_nan=False)]


def initial_states(zones: Sequence[Zone], classes: int) -> tuple[ZoneState, ...]:
    """Return the states of zones that no track has entered."""
    return tuple(ZoneState((0,) * classes, (0,) * classes) for _ in zones)


def check_states(
    states: Sequence[ZoneState], zones: Sequence[Zone], classes: int, next_track_id: int
) -> None:
    """Raise ValueError for states that these zones could not have."""
    if len(states) != len(zones):
        raise ValueError(f"{len(states)} states of zones; expected {len(zones)}")
    for zone, state in zip(zones, states, strict=True):
        tracks = [stay.track_id for stay in state.stays] + [side.track_id for side in state.sides]
        if len(set(tracks)) != len(tracks) or max(tracks, default=0) >= next_track_id:
            raise ValueError(
                f"tracks {tracks[:5]} of zone {zone.name} repeat or are not below {next_track_id}"
            )
        if state.sides if zone.line is None else state.stays:
            raise ValueError(f"zone {zone.name} has the state of the other kind")
        sizes = {len(state.entered), len(state.left)}
        if sizes != {classes} or any(stay.class_id >= classes for stay in state.stays):
            raise ValueError(f"zone {zone.name} counts {sizes} classes; expected {classes}")
        inside = sum(state.entered) - sum(state.left)
        if zone.line is None and inside != len(state.stays):
            raise ValueError(f"zone {zone.name} has {len(state.stays)} tracks inside; expected {inside}")
        for stay in state.stays:
            if stay.since_us > stay.last_us:
                raise ValueError(f"track {stay.track_id} entered {zone.name} after it was last seen")
