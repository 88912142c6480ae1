"""A session's life as its client sees it: states, reasons, warnings, ids."""

import asyncio
import json
import socket
import threading
from pathlib import Path

import pytest

from spikewatch.service.session_manager.idle import IdlePolicy
from spikewatch.service.sessions.activity import Notifications
from spikewatch.service.sessions.session import Session
from tests.service.support.clock import ManualClock
from tests.service.support.http_client import problem
from tests.service.support.live import SENSOR, Live, dat_stream, talk
from tests.service.support.shared import SharedServices
from tests.service.support.waiting import until

CLOCK = ManualClock()
LIMITS = {"idle_timeout_s": 60, "idle_warning_s": 20}


def state(live: Live, session_id: str) -> str:
    found: str = live.http.get(f"/v1/sessions/{session_id}").json()["state"]
    return found


def accepted(live: Live, session_id: str, count: int) -> None:
    until(lambda: live.manager.get(session_id).accepted_bytes == count)


def test_session_passes_through_its_states(services: SharedServices) -> None:
    live = services(clock=CLOCK, **LIMITS)
    session_id = live.open()
    assert state(live, session_id) == "created"
    live.http.post(f"/v1/sessions/{session_id}/events", content=dat_stream(1))
    assert state(live, session_id) == "streaming"
    CLOCK.advance(45)
    until(lambda: state(live, session_id) == "idle")
    assert live.http.get(f"/v1/sessions/{session_id}").json()["closes_in_s"] == 15
    live.http.post(f"/v1/sessions/{session_id}/events", content=dat_stream(2)[2400:])
    info = live.http.get(f"/v1/sessions/{session_id}").json()
    assert (info["state"], info["closes_in_s"]) == ("streaming", None)
    CLOCK.advance_until(lambda: state(live, session_id) == "closed")
    answer = live.http.get(f"/v1/sessions/{session_id}")
    assert problem(answer) == (410, "session_closed")
    assert (answer.json()["reason"], answer.json()["resumable"]) == ("idle_timeout", False)


def test_idle_client_is_warned_then_closed(services: SharedServices) -> None:
    live = services(clock=CLOCK, **LIMITS)
    older = live.open()
    CLOCK.advance(10)
    session_id = live.open()
    client = live.connect(session_id)
    CLOCK.advance(35)
    until(lambda: state(live, older) == "idle")
    assert state(live, session_id) == "created", "one check looks at both, and 35 s are no silence yet"
    CLOCK.advance(6)
    assert json.loads(client.recv()) == {"type": "idle_warning", "closes_in_s": 19}
    client.send(dat_stream(1))
    accepted(live, session_id, 2400)
    CLOCK.advance(45)
    assert json.loads(client.recv()) == {"type": "idle_warning", "closes_in_s": 15}, "one for each silence"
    CLOCK.advance_until(lambda: session_id not in live.manager.sessions)
    closed = talk(client)[-1]
    assert (closed["type"], closed["reason"], closed["resumable"]) == ("closed", "idle_timeout", False)
    assert client.close_code == 1000


def test_idle_end_without_snapshots_loses_no_event(services: SharedServices) -> None:
    """The open slice and the open window are run and sent before the end."""
    live = services(clock=CLOCK, **LIMITS)
    session_id = live.open(slices=4, hop=4)
    client = live.connect(session_id)
    client.send(dat_stream(7))
    accepted(live, session_id, len(dat_stream(7)))
    CLOCK.advance_until(lambda: session_id not in live.manager.sessions)
    messages = talk(client)
    windows = [m for m in messages if m["type"] == "window"]
    assert messages[-1]["reason"] == "idle_timeout"
    assert sum(window["events"] for window in windows) == 7 * 300


def test_reconnection_to_idle_session_restarts_the_timeout(services: SharedServices) -> None:
    live = services(clock=CLOCK, **LIMITS)
    session_id = live.open()
    live.connect(session_id).socket.shutdown(socket.SHUT_RDWR)
    until(lambda: not live.manager.get(session_id).feed_lease.held)
    CLOCK.advance(55)
    until(lambda: state(live, session_id) == "idle")
    client = live.connect(session_id)
    assert state(live, session_id) == "created"
    CLOCK.advance(45)
    assert json.loads(client.recv()) == {"type": "idle_warning", "closes_in_s": 15}
    CLOCK.advance(16)
    assert talk(client)[-1]["reason"] == "idle_timeout"


def test_client_activity_during_final_save_keeps_session(
    services: SharedServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = services(clock=CLOCK, **LIMITS, snapshot_dir=tmp_path)
    snapshots = live.manager.snapshots
    saving, go_on, save = threading.Event(), threading.Event(), snapshots.save_before_end

    async def slow(session: Session) -> bool:
        saving.set()
        await asyncio.to_thread(go_on.wait)
        saved: bool = await save(session)
        return saved

    monkeypatch.setattr(snapshots, "save_before_end", slow)
    session_id = live.open()
    client = live.connect(session_id)
    client.send(dat_stream(1))
    accepted(live, session_id, 2400)
    CLOCK.advance_until(saving.is_set)
    client.send(b"")
    until(lambda: live.manager.get(session_id).lifecycle.state == "streaming")
    go_on.set()
    until(lambda: session_id not in live.manager._idle_reaper._ending_tasks)
    assert state(live, session_id) == "streaming"
    CLOCK.advance_until(lambda: session_id not in live.manager.sessions)
    assert talk(client)[-1]["reason"] == "idle_timeout"


def test_reconnection_during_final_flush_keeps_session(services: SharedServices) -> None:
    """The full outbox stalls the session while it is ended as idle; then its client reads."""
    live = services(clock=CLOCK, **LIMITS, outbox_windows=4, inbox_slices=8)
    session_id = live.open(hop=1)
    socket = live.connect(session_id)
    socket.send(dat_stream(20))
    socket.close()
    CLOCK.advance_until(lambda: session_id in live.manager._idle_reaper._ending_tasks)
    where = f"/v1/sessions/{session_id}/events"
    place = {"offset": len(dat_stream(20)), "seq": 0}
    answer = live.http.post(where, params=place, content=dat_stream(30)[len(dat_stream(20)) :])
    assert [window["seq"] for window in answer.json()["windows"]] == list(range(29))
    assert live.http.delete(f"/v1/sessions/{session_id}").json()["totals"]["events"] == 9000


def test_failing_maintenance_of_a_session_affects_no_other(
    services: SharedServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = services(clock=CLOCK, **LIMITS)
    broken, other = live.open(), live.open()
    monkeypatch.setattr(live.manager.get(broken), "report_dropped_events", lambda: 1 / 0)
    CLOCK.advance_until(lambda: other not in live.manager.sessions)
    monkeypatch.undo()


def test_warning_precedes_the_end_for_any_timeout() -> None:
    for timeout_s, warning_s in ((0.1, 10), (1, 10), (60, 10), (60, 0.01)):
        rule = IdlePolicy(timeout_s, warning_s)
        assert timeout_s / 2 <= rule.warn_after_s < timeout_s
        assert rule.check_interval_s < timeout_s / 2


def test_draining_session_closes_with_shutdown(services: SharedServices) -> None:
    live = services(inbox_slices=1, outbox_windows=1)
    session_id = live.open(hop=1)
    client = live.connect(session_id)
    client.send(dat_stream(40))
    manager = live.manager
    manager._loop.call_soon_threadsafe(manager.get(session_id).lifecycle.move_to, "draining")
    assert talk(client)[-1]["reason"] == "shutdown"


def test_chosen_id_is_rejected_while_open(live: Live) -> None:
    assert live.open(session_id="cam-7_front") == "cam-7_front"
    again = live.http.post("/v1/sessions", json=SENSOR | {"session_id": "cam-7_front"})
    assert problem(again) == (409, "session_exists")
    live.http.delete("/v1/sessions/cam-7_front")
    gone = live.http.get("/v1/sessions/cam-7_front")
    assert (problem(gone), gone.json()["reason"]) == ((410, "session_closed"), "client")
    live.open(session_id="cam-7_front")
    assert state(live, "cam-7_front") == "created"
    live.http.delete("/v1/sessions/cam-7_front")


@pytest.mark.parametrize("session_id", ["", "a b", "../x", "x" * 65, "ü"])
def test_malformed_id_is_rejected(live: Live, session_id: str) -> None:
    answer = live.http.post("/v1/sessions", json={"session_id": session_id})
    assert problem(answer) == (422, "invalid_request")


def test_newest_notification_of_each_type_is_pending() -> None:
    async def told() -> list[tuple[str, dict]]:
        notices = Notifications()
        notices.push("saved", accepted_bytes=1)
        notices.push("idle_warning", closes_in_s=5)
        notices.push("saved", accepted_bytes=2)
        notices.push("other")
        notices.withdraw("other")
        notices.withdraw("never")
        return [await notices.get(), await notices.get()]

    assert asyncio.run(told()) == [("saved", {"accepted_bytes": 2}), ("idle_warning", {"closes_in_s": 5})]


def test_snapshot_requests_without_store_are_rejected(live: Live) -> None:
    session_id = live.open()
    assert problem(live.http.post(f"/v1/sessions/{session_id}/snapshot")) == (400, "snapshots_off")
    assert problem(live.http.post("/v1/sessions", json={"resume": "x"})) == (400, "snapshots_off")
    assert problem(live.http.delete("/v1/sessions/x/snapshot")) == (400, "snapshots_off")
    mixed = live.http.post("/v1/sessions", json={"resume": "x", "hop": 1})
    assert problem(mixed) == (422, "invalid_request")
    assert "resume comes alone" in mixed.json()["detail"]
    live.http.delete(f"/v1/sessions/{session_id}")
