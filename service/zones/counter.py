"""Counts what tracks do at zones and lines. The state is passed in and returned.

A track enters a polygon at its border and leaves it `margin_px` outside; it changes the side of a line
`margin_px` beyond it. So a box that jitters by less than the margin counts once.

N boxes.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spikewatch.service.zones.geometry import anchors, path_crosses, side_px, signed_distance_px
from spikewatch.service.zones.schema import Zone
from spikewatch.service.zones.state import Direction, Side, Stay, ZoneCounts, ZoneEvent, ZoneState

US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class TrackedBoxes:
    """The boxes of one result.

    Attributes:
        t_us: time at which they are valid.
        xywh: float [N,4] in sensor pixels.
        class_id: int [N].
        track_ids: track of each box.
        known: ids of all current tracks, also of those without a box.
    """

    t_us: int
    xywh: NDArray[np.float32]
    class_id: NDArray[np.int64]
    track_ids: Sequence[int]
    known: Collection[int]


def update_zones(
    zones: Sequence[Zone], states: Sequence[ZoneState], boxes: TrackedBoxes
) -> tuple[tuple[ZoneState, ...], tuple[ZoneEvent, ...]]:
    """Return the states after one more result, and the events at it."""
    updated, events = [], list[ZoneEvent]()
    for zone, state in zip(zones, states, strict=True):
        update = _update_polygon if zone.line is None else _update_line
        new_state, new_events = update(zone, state, boxes)
        updated.append(new_state)
        events += new_events
    return tuple(updated), tuple(events)


def count_zones(zones: Sequence[Zone], states: Sequence[ZoneState]) -> tuple[ZoneCounts, ...]:
    """Return the counts of each zone."""
    return tuple(_count(zone, state) for zone, state in zip(zones, states, strict=True))


def _count(zone: Zone, state: ZoneState) -> ZoneCounts:
    inside = Counter(stay.class_id for stay in state.stays)
    ended = 0 if zone.line is not None else sum(state.left)
    return ZoneCounts(
        zone.name,
        state.entered,
        state.left,
        tuple(inside[c] for c in range(len(state.entered))),
        state.ended_stays_us / ended / US_PER_S if ended else None,
    )


def _update_polygon(zone: Zone, state: ZoneState, boxes: TrackedBoxes) -> tuple[ZoneState, list[ZoneEvent]]:
    points = anchors(boxes.xywh.astype(np.float64), zone.anchor)
    depths = signed_distance_px(np.array(zone.polygon, np.float64), points)
    stays = {stay.track_id: stay for stay in state.stays}
    events, ended = list[ZoneEvent](), list[Stay]()
    for track_id, stay in list(stays.items()):
        if track_id not in boxes.known:
            ended.append(stays.pop(track_id))
            events.append(_left(zone, stay, stay.last_us, lost=True))
    for track_id, class_id, depth in zip(boxes.track_ids, boxes.class_id.tolist(), depths, strict=True):
        current = stays.get(track_id)
        if current is None and depth >= 0:
            stays[track_id] = Stay(track_id, class_id, boxes.t_us, boxes.t_us)
            events.append(ZoneEvent("entered", zone.name, boxes.t_us, track_id, class_id))
        elif current is not None and depth < -zone.margin_px:
            ended.append(replace(stays.pop(track_id), last_us=boxes.t_us))
            events.append(_left(zone, current, boxes.t_us))
        elif current is not None:
            stays[track_id] = replace(current, last_us=boxes.t_us)
    for stay in stays.values():
        if zone.dwell_s is not None and not stay.dwelling:
            dwell_us = stay.last_us - stay.since_us
            if dwell_us >= zone.dwell_s * US_PER_S:
                stays[stay.track_id] = replace(stay, dwelling=True)
                t_us, track_id, class_id = stay.last_us, stay.track_id, stay.class_id
                events.append(ZoneEvent("dwelling", zone.name, t_us, track_id, class_id, dwell_us=dwell_us))
    entered = [event.class_id for event in events if event.kind == "entered"]
    return ZoneState(
        _add(state.entered, entered),
        _add(state.left, [stay.class_id for stay in ended]),
        tuple(stays.values()),
        (),
        state.ended_stays_us + sum(stay.last_us - stay.since_us for stay in ended),
    ), events


def _left(zone: Zone, stay: Stay, t_us: int, lost: bool = False) -> ZoneEvent:
    dwell_us = t_us - stay.since_us
    return ZoneEvent("left", zone.name, t_us, stay.track_id, stay.class_id, dwell_us=dwell_us, lost=lost)


def _update_line(zone: Zone, state: ZoneState, boxes: TrackedBoxes) -> tuple[ZoneState, list[ZoneEvent]]:
    line = np.array(zone.line, np.float64)
    points = anchors(boxes.xywh.astype(np.float64), zone.anchor)
    distances = side_px(line, points)
    sides = {side.track_id: side for side in state.sides if side.track_id in boxes.known}
    events = list[ZoneEvent]()
    crossed: dict[Direction, list[int]] = {"in": [], "out": []}
    rows = zip(boxes.track_ids, boxes.class_id.tolist(), points, distances, strict=True)
    for track_id, class_id, point, distance in rows:
        if abs(distance) < zone.margin_px or distance == 0:
            continue
        right, before = bool(distance > 0), sides.get(track_id)
        changed = before is not None and before.right != right
        if before is not None and changed and path_crosses(line, np.array(before.point_px), point):
            direction: Direction = "in" if right else "out"
            crossed[direction].append(class_id)
            events.append(ZoneEvent("crossed", zone.name, boxes.t_us, track_id, class_id, direction))
        sides[track_id] = Side(track_id, right, (float(point[0]), float(point[1])))
    entered, left = _add(state.entered, crossed["in"]), _add(state.left, crossed["out"])
    return ZoneState(entered, left, (), tuple(sides.values())), events


def _add(counts: tuple[int, ...], class_ids: Sequence[int]) -> tuple[int, ...]:
    more = Counter(class_ids)
    return tuple(count + more[c] for c, count in enumerate(counts))
