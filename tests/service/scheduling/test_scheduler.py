"""Fairness and order, without a network: sessions are stood in for by their two queues."""

import threading
from dataclasses import replace

from spikewatch.service.errors import SessionClosed
from spikewatch.service.scheduling.scheduler import ScheduledItem, Scheduler
from spikewatch.service.sessions.inbox import MAX_AGE_SLICES, Command, Inbox
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


def test_batch_has_one_slice_a_session_in_order() -> None:
    scheduler, _ = make("abc", 2, 8)
    first, second = batch(scheduler), batch(scheduler)
    assert (names(first), names(second)) == ("abc", "abc")
    assert [entry.item.t0_us for entry in first + second] == [0, 0, 0, 1, 1, 1]
    assert batch(scheduler) == []


def test_session_waits_at_most_one_round() -> None:
    scheduler, _ = make("abcde", 10, 2)
    served = "".join(names(batch(scheduler)) for _ in range(10))
    assert served == "abcdeabcdeabcdeabcde"


def test_session_with_full_outbox_is_skipped() -> None:
    scheduler, sessions = make("ab", 2, 8)
    sessions[0].full = True
    assert names(batch(scheduler)) == "b"
    sessions[0].full = False
    assert names(batch(scheduler)) == "ab"


def test_removed_session_is_not_scheduled() -> None:
    scheduler, sessions = make("ab", 2, 8)
    scheduler.remove(sessions[0])  # type: ignore[arg-type]
    assert names(batch(scheduler)) == "b"


def test_full_inbox_rejects_or_drops_oldest() -> None:
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


def test_drop_oldest_keeps_two_slices_of_age() -> None:
    dropping = Inbox(32, "drop_oldest", max_age_s=MAX_AGE_SLICES * 0.0625)
    blocking = Inbox(32, "block", max_age_s=MAX_AGE_SLICES * 0.0625)
    lengths = []
    for t in range(20):  # one slice every 62.5 ms, and none is run
        for inbox in (dropping, blocking):
            assert inbox.put(replace(slice_at(t, 7), received_s=0.0625 * t))
        lengths.append(len(dropping))
    assert lengths == [1, 2] + [3] * 18
    assert (dropping.dropped_slices, dropping.dropped_events) == (17, 17 * 7)
    assert [dropping.pop().t0_us for _ in range(3)] == [17, 18, 19]
    assert dropping.empty
    assert (len(blocking), blocking.dropped_slices) == (20, 0)


def test_drop_oldest_keeps_a_burst_received_at_once() -> None:
    inbox = Inbox(32, "drop_oldest", max_age_s=0.1)
    for t in range(20):
        inbox.put(replace(slice_at(t), received_s=1.0))
    assert (len(inbox), inbox.dropped_slices) == (20, 0)
    inbox.put(replace(slice_at(20), received_s=1.2))
    assert (len(inbox), inbox.dropped_slices) == (1, 20)


def test_inbox_clear_fails_waiting_commands() -> None:
    inbox = Inbox(2, "block")
    marker = Command(lambda _: None)
    inbox.put(marker)
    inbox.clear(SessionClosed("over"))
    assert str(marker.future.exception(0)) == "over"
    assert inbox.empty


def test_discontinuity_survives_drop_of_its_slice() -> None:
    jump = replace(slice_at(5), discontinuity=True)
    waiting, empty = Inbox(2, "drop_oldest"), Inbox(1, "drop_oldest")
    for item in (jump, slice_at(6), slice_at(7)):
        waiting.put(item)
    for item in (jump, slice_at(6)):
        empty.put(item)
    assert [waiting.pop().discontinuity, waiting.pop().discontinuity] == [True, False]
    assert empty.pop().discontinuity


def test_drops_after_command_are_not_counted_before_it() -> None:
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
