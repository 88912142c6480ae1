"""Fairness and order, without a network: sessions are stood in for by their two queues."""

import threading
from dataclasses import replace

from spikewatch.service.errors import SessionClosed
from spikewatch.service.scheduling.scheduler import ScheduledItem, Scheduler
from spikewatch.service.sessions.inbox import Command, Inbox
from tests.service.support.scheduling import FakeSession, names, slice_at


def make(names: str, slices: int, max_batch: int) -> tuple[Scheduler, list[FakeSession]]:
    scheduler = Scheduler(threading.Condition(), max_batch)
    sessions = [FakeSession(name, Inbox(100, "block")) for name in names]
    for session in sessions:
        for t in range(slices):
            session.inbox.put(slice_at(t))
        scheduler.add(session)  # type: ignore[arg-type]
    return scheduler, sessions


def batch(scheduler: Scheduler) -> list[ScheduledItem]:
    return [] if scheduler.wait_s(0) is None else scheduler.next_batch()


def test_at_most_one_slice_of_a_session_in_a_batch_and_in_order() -> None:
    scheduler, _ = make("abc", 2, 8)
    first, second = batch(scheduler), batch(scheduler)
    assert (names(first), names(second)) == ("abc", "abc")
    assert [entry.item.t0_us for entry in first + second] == [0, 0, 0, 1, 1, 1]
    assert batch(scheduler) == []


def test_nobody_waits_more_than_a_round() -> None:
    scheduler, _ = make("abcde", 10, 2)
    served = "".join(names(batch(scheduler)) for _ in range(10))
    assert served == "abcdeabcdeabcdeabcde"


def test_a_session_that_cannot_deliver_is_passed_over() -> None:
    scheduler, sessions = make("ab", 2, 8)
    sessions[0].full = True
    assert names(batch(scheduler)) == "b"
    sessions[0].full = False
    assert names(batch(scheduler)) == "ab"


def test_removed_sessions_are_not_served() -> None:
    scheduler, sessions = make("ab", 2, 8)
    scheduler.remove(sessions[0])  # type: ignore[arg-type]
    assert names(batch(scheduler)) == "b"


def test_a_full_inbox_refuses_or_drops_the_oldest() -> None:
    blocking, dropping = Inbox(2, "block"), Inbox(2, "drop_oldest")
    assert [blocking.put(slice_at(t)) for t in range(3)] == [True, True, False]
    marker = Command(lambda _: None)
    assert [dropping.put(x) for x in (slice_at(0, 7), marker, slice_at(1), slice_at(2))] == [True] * 4
    assert (len(dropping), dropping.dropped_slices, dropping.dropped_events) == (2, 1, 7)
    assert [dropping.pop(), dropping.pop().t0_us, dropping.pop().t0_us, dropping.pop()] == [
        marker,
        1,
        2,
        None,
    ]


def test_clearing_tells_those_who_wait() -> None:
    inbox = Inbox(2, "block")
    marker = Command(lambda _: None)
    inbox.put(marker)
    inbox.clear(SessionClosed("over"))
    assert str(marker.future.exception(0)) == "over"
    assert inbox.empty


def test_a_jump_in_time_survives_the_slice_before_it_being_dropped() -> None:
    jump = replace(slice_at(5), discontinuity=True)
    waiting, empty = Inbox(2, "drop_oldest"), Inbox(1, "drop_oldest")
    for item in (jump, slice_at(6), slice_at(7)):
        waiting.put(item)
    for item in (jump, slice_at(6)):
        empty.put(item)
    assert [waiting.pop().discontinuity, waiting.pop().discontinuity] == [True, False]
    assert empty.pop().discontinuity


def test_what_is_dropped_behind_a_control_was_not_dropped_before_it() -> None:
    """A snapshot is a cut: slices after it come again, and are counted then."""
    inbox = Inbox(2, "drop_oldest")
    for t in range(3):
        inbox.put(slice_at(t, n_events=10))
    inbox.put(Command(lambda _: None))
    for t in range(3, 8):
        inbox.put(slice_at(t, n_events=100))
    assert (inbox.dropped_slices, inbox.dropped_events) == (6, 330)
    inbox.pop()
    assert inbox.dropped_before_command == (3, 30)
