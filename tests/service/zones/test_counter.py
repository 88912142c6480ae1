"""What is counted: once for each visit, also of a box that jitters at a border."""

from typing import Any

import numpy as np
import pytest

from spikewatch.service.zones.counter import TrackedBoxes, count_zones, update_zones
from spikewatch.service.zones.schema import Zone
from spikewatch.service.zones.state import ZoneEvent, ZoneState, initial_states

SQUARE = Zone(name="door", polygon=((100, 0), (200, 0), (200, 100), (100, 100)), anchor="centre", dwell_s=0.5)
LINE = Zone(name="gate", line=((100, 0), (100, 100)), anchor="centre")


def follow(
    zone: Zone, path: list[float | None], y: float = 50, class_id: int = 1, forget: bool = False
) -> tuple[ZoneState, list[ZoneEvent]]:
    """One track whose centre is at these x, 0.1 s apart; None: its box is missing."""
    states, events = initial_states([zone], 2), list[ZoneEvent]()
    for i, x in enumerate(path):
        boxes = np.zeros((0, 4), np.float32) if x is None else np.array([[x - 5, y - 5, 10, 10]], np.float32)
        ids = () if x is None else (7,)
        known = () if x is None and forget else (7,)
        seen = TrackedBoxes(100_000 * i, boxes, np.full(len(ids), class_id), ids, known)
        states, new = update_zones([zone], states, seen)
        events += new
    return states[0], events


def told(events: list[ZoneEvent]) -> list[tuple[str, int]]:
    return [(event.kind, event.t_us) for event in events]


def test_visit_is_entered_dwelling_and_left() -> None:
    state, events = follow(SQUARE, [80, 110, 120, 130, 140, 150, 160, 190, 230])
    assert told(events) == [("entered", 100_000), ("dwelling", 600_000), ("left", 800_000)]
    assert [event.dwell_us for event in events] == [None, 500_000, 700_000]
    (counts,) = count_zones([SQUARE], [state])
    assert (counts.entered, counts.left, counts.inside) == ((0, 1), (0, 1), (0, 0))
    assert counts.mean_dwell_s == pytest.approx(0.7)


def test_jitter_at_the_border_counts_once() -> None:
    state, events = follow(SQUARE, [95, 101, 98, 102, 97, 101, 97])
    assert told(events)[:1] == [("entered", 100_000)]
    assert [event.kind for event in events].count("entered") == 1
    assert len(state.stays) == 1
    bare = SQUARE.model_copy(update={"margin_px": 0})
    assert len([e for e in follow(bare, [95, 101, 98, 102, 97, 101, 97])[1] if e.kind == "entered"]) == 3


def test_missing_box_stays_and_a_lost_track_leaves() -> None:
    state, events = follow(SQUARE, [120, None, None, 125])
    assert (told(events), len(state.stays)) == ([("entered", 0)], 1)
    state, events = follow(SQUARE, [120, 125, None], forget=True)
    assert told(events) == [("entered", 0), ("left", 100_000)]
    assert events[1].lost
    assert (state.stays, state.left) == ((), (0, 1))


def test_line_counts_each_direction_once() -> None:
    """Walking down the line, smaller x is at the right."""
    state, events = follow(LINE, [80, 97, 103, 98, 102, 120, 101, 98, 90, 110])
    assert [(e.direction, e.t_us) for e in events] == [("out", 500_000), ("in", 800_000), ("out", 900_000)]
    assert (state.entered, state.left) == ((0, 1), (0, 2))


def test_path_past_the_end_of_a_line_counts_nothing() -> None:
    state, events = follow(LINE, [80, 120], y=130)
    assert (events, state.sides[0].right) == ([], False)


def test_random_walks_keep_the_balance() -> None:
    """Entered minus left is inside, at every step and class, whatever tracks do."""
    rng = np.random.default_rng(1)
    states: tuple[ZoneState, ...] = initial_states([SQUARE, LINE], 3)
    places = rng.uniform(0, 300, (40, 2))
    for step in range(60):
        places += rng.normal(0, 25, places.shape)
        ids = tuple(int(i) for i in np.flatnonzero(rng.random(40) < 0.8))
        known = tuple(i for i in range(40) if i in ids or i % 3)
        boxes = np.concatenate([places[list(ids)] - 5, np.full((len(ids), 2), 10)], 1).astype(np.float32)
        classes = np.array(ids, np.int64) % 3
        states, _ = update_zones(
            [SQUARE, LINE], states, TrackedBoxes(step * 50_000, boxes, classes, ids, known)
        )
        (counts, _) = count_zones([SQUARE, LINE], states)
        balance = np.array(counts.entered) - counts.left
        assert balance.tolist() == list(counts.inside)
    assert min(counts.entered) > 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a"}, "give one of them"),
        ({"name": "a b", "line": [[0, 0], [1, 1]]}, "pattern"),
        ({"name": "a", "line": [[1, 1], [1, 1]]}, "give two ends"),
        ({"name": "a", "line": [[0, 0], [1, 1]], "dwell_s": 1}, "only polygons"),
        ({"name": "a", "polygon": [[0, 0], [1, 1]]}, "at least 3"),
    ],
)
def test_faulty_zone_is_rejected(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Zone.model_validate(fields)
