"""The activity filter: actors are active while their pixels fire, and for half a second after."""

import numpy as np

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.ingest.simulation.dataset.visibility import ACTIVITY_HOLD_US, MIN_ACTIVITY_HZ, ActivityFilter

IDS = np.zeros((40, 60), np.int32)
IDS[5:25, 5:25] = 1
IDS[5:25, 30:50] = 2
STEP_US = 50_000


def on(left: int, count: int) -> Events:
    """Return events on the pixels of one actor."""
    events = np.zeros(count, EVENT_DTYPE)
    events["x"], events["y"] = left + np.arange(count) % 20, 5 + np.arange(count) // 20 % 20
    return events


def needed() -> int:
    return int(np.ceil(MIN_ACTIVITY_HZ * 400 * STEP_US * 1e-6))


def test_actor_needs_enough_events_to_be_active() -> None:
    activity = ActivityFilter(40, 60, 2)
    activity.update(on(5, needed() - 1))
    activity.update(on(30, needed()))
    assert activity.active_actors(IDS, STEP_US).tolist() == [False, True]


def test_events_are_counted_between_labels() -> None:
    activity = ActivityFilter(40, 60, 2)
    activity.update(on(5, needed() // 2 + 1))
    assert not activity.active_actors(IDS, STEP_US).any()
    activity.update(on(5, needed() // 2 + 1))
    assert not activity.active_actors(IDS, 2 * STEP_US).any()


def test_stopped_actor_stays_active_for_hold_time() -> None:
    activity = ActivityFilter(40, 60, 2)
    activity.update(on(5, needed()))
    times = range(STEP_US, ACTIVITY_HOLD_US + 4 * STEP_US, STEP_US)
    labelled = [bool(activity.active_actors(IDS, t)[0]) for t in times]
    assert labelled == [t - STEP_US <= ACTIVITY_HOLD_US for t in times]


def test_hidden_actor_is_not_active() -> None:
    activity = ActivityFilter(40, 60, 3)
    activity.update(on(5, 400))
    assert activity.active_actors(IDS, STEP_US).tolist() == [True, False, False]


def test_few_events_on_small_actor_are_noise() -> None:
    activity, small = ActivityFilter(40, 60, 1), np.where(IDS == 1, 0, 0).astype(np.int32)
    small[5, 5:9] = 1
    activity.update(on(5, 4))
    assert not activity.active_actors(small, STEP_US).any()
