"""How long a slice waits for others: with clocks set by hand, and once with a real one."""

import threading
import time
from dataclasses import replace

import pytest

from spikewatch.service.scheduling.batching import BatchingPolicy
from spikewatch.service.scheduling.round_robin import ModelRoundRobin
from spikewatch.service.scheduling.scheduler import Scheduler
from spikewatch.service.sessions.inbox import Command, Inbox
from tests.service.support.scheduling import FakeSession, names, slice_at

SLICE_S = 0.05
SHARE = 0.1
BUDGET_S = SHARE * SLICE_S


def session(name: str, *ready_s: float) -> FakeSession:
    made = FakeSession(name, Inbox(100, "block"))
    for t, at_s in enumerate(ready_s):
        made.inbox.put(replace(slice_at(t), received_s=at_s))
    return made


def wait_s(company: BatchingPolicy, sessions: list[FakeSession], now_s: float) -> float:
    return company.wait_s(sessions, now_s)  # type: ignore[arg-type]


def company_of(*last: tuple[FakeSession, float], max_batch: int = 8) -> BatchingPolicy:
    company = BatchingPolicy(SHARE, max_batch)
    for one, ready_s in last:
        company.record_started(one, replace(slice_at(0), received_s=ready_s))  # type: ignore[arg-type]
    return company


def test_single_slice_never_waits() -> None:
    a, silent = session("a", 10.0), session("b")
    assert wait_s(company_of((a, 9.95)), [a, silent], 10.0) == 0


def test_slice_waits_for_due_session_within_budget() -> None:
    a, late = session("a", 10.0), session("b")
    for due_s in (9.96, 10.0, 10.0 + 0.9 * BUDGET_S):
        company = company_of((late, due_s - SLICE_S))
        assert wait_s(company, [a, late], 10.0) == pytest.approx(BUDGET_S)
        assert wait_s(company, [a, late], 10.0 + 0.4 * BUDGET_S) == pytest.approx(0.6 * BUDGET_S)
        assert wait_s(company, [a, late], 10.0 + BUDGET_S) == 0


def test_slice_does_not_wait_for_session_not_yet_due() -> None:
    a, later = session("a", 10.0), session("b")
    assert wait_s(company_of((later, 10.0 + 1.1 * BUDGET_S - SLICE_S)), [a, later], 10.0) == 0
    assert wait_s(company_of((later, 9.975)), [a, later], 10.0) == 0


def test_slice_does_not_wait_for_overdue_session() -> None:
    a, silent = session("a", 10.0), session("b")
    assert wait_s(company_of((silent, 10.0 - 2.1 * SLICE_S)), [a, silent], 10.0) == 0


def test_complete_or_full_batch_runs_at_once() -> None:
    a, b, late = session("a", 10.0), session("b", 10.0), session("c")
    assert wait_s(company_of((a, 9.95), (b, 9.95)), [a, b], 10.0) == 0
    assert wait_s(company_of((late, 9.95), max_batch=2), [a, b, late], 10.0) == 0


def test_slice_queued_past_its_budget_runs_at_once() -> None:
    a, late = session("a", 9.9), session("b")
    assert wait_s(company_of((late, 9.95)), [a, late], 10.0) == 0


def test_commands_do_not_wait() -> None:
    a, late = session("a"), session("b")
    a.inbox.put(Command(lambda _: None))
    assert wait_s(company_of((late, 9.95)), [a, late], 10.0) == 0


def test_slightly_offset_cameras_share_batches() -> None:
    rotation = ModelRoundRobin()
    scheduler = Scheduler(rotation.condition, 8, batch_wait_share=1.0)
    rotation.add(scheduler)
    a, b = session("a"), session("b")
    for one in (a, b):
        scheduler.add(one)  # type: ignore[arg-type]
        one.inbox.put(replace(slice_at(0), received_s=time.monotonic()))
    assert names(rotation.next_batch(0).items) == "ab"
    a.inbox.put(replace(slice_at(1), received_s=time.monotonic()))

    def follow() -> None:
        b.inbox.put(replace(slice_at(1), received_s=time.monotonic()))
        scheduler.notify()

    timer = threading.Timer(0.005, follow)
    timer.start()
    assert names(rotation.next_batch(0).items) == "ab"
    timer.join()
