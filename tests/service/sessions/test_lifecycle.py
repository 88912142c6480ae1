"""States of a session: the transitions allowed, and the error for all others."""

import asyncio
import itertools
from typing import get_args

import pytest

from spikewatch.service.errors import SessionClosed, SessionNotFound
from spikewatch.service.schemas import SessionState
from spikewatch.service.sessions.activity import ActivityTracker, Notifications
from spikewatch.service.sessions.lifecycle import TRANSITIONS, InvalidTransition, Lifecycle

STATES: tuple[SessionState, ...] = get_args(SessionState)


def lifecycle_in(state: SessionState) -> Lifecycle:
    lifecycle = Lifecycle()
    if state != "created":
        lifecycle.move_to(state)
    return lifecycle


@pytest.mark.parametrize(("source", "target"), list(itertools.product(STATES, STATES)))
def test_transition_is_allowed_or_raises(source: SessionState, target: SessionState) -> None:
    lifecycle = lifecycle_in(source)
    if target in TRANSITIONS[source]:
        lifecycle.move_to(target)
        assert lifecycle.state == target
    else:
        with pytest.raises(InvalidTransition, match=f"from {source} to {target}"):
            lifecycle.move_to(target)
        assert lifecycle.state == source


def test_closed_state_is_final() -> None:
    assert TRANSITIONS["closed"] == frozenset()
    assert all("closed" in TRANSITIONS[state] for state in STATES if state != "closed")


@pytest.mark.parametrize("state", STATES)
def test_ending_is_set_while_draining_and_closed_only(state: SessionState) -> None:
    assert lifecycle_in(state).ending.is_set() == (state in ("draining", "closed"))


def test_first_change_makes_a_created_session_stream() -> None:
    lifecycle = Lifecycle()
    lifecycle.record_change()
    lifecycle.record_change()
    assert (lifecycle.state, lifecycle.revision) == ("streaming", 2)


@pytest.mark.parametrize("changes", [0, 1])
def test_idle_session_wakes_to_its_former_state(changes: int) -> None:
    async def wake() -> tuple[SessionState, SessionState, SessionState]:
        lifecycle, notifications = Lifecycle(), Notifications()
        activity = ActivityTracker(lifecycle, notifications)
        for _ in range(changes):
            lifecycle.record_change()
        before = lifecycle.state
        activity.warn_idle(5)
        idle = lifecycle.state
        activity.record_progress()
        return before, idle, lifecycle.state

    before, idle, after = asyncio.run(wake())
    assert idle == "idle"
    assert before == after == ("streaming" if changes else "created")


@pytest.mark.parametrize("state", ["draining", "closed"])
def test_ending_session_does_not_wake(state: SessionState) -> None:
    lifecycle = lifecycle_in(state)
    assert not lifecycle.wake()
    assert lifecycle.state == state


def test_closed_session_raises_a_copy_of_its_error() -> None:
    lifecycle, error = Lifecycle(), SessionClosed("over", reason="client")
    lifecycle.check_open()
    lifecycle.close(error, "client")
    with pytest.raises(SessionClosed, match="over") as raised:
        lifecycle.check_open()
    assert raised.value is not error
    assert raised.value.members == {"reason": "client"}
    with pytest.raises(InvalidTransition):
        lifecycle.close(SessionNotFound(), "again")
    assert (lifecycle.error, lifecycle.reason) == (error, "client")
