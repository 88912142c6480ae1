"""A session's life as its client sees it: states, reasons, warnings, ids."""

import asyncio
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.session_manager.idle import IdlePolicy
from spikewatch.service.sessions.activity import Notifications
from spikewatch.service.sessions.session import Session
from tests.service.support.http_client import problem
from tests.service.support.live import SENSOR, Live, dat_stream, live_service, talk
from tests.service.support.waiting import until


def state(live: Live, session_id: str) -> str:
    found: str = live.http.get(f"/v1/sessions/{session_id}").json()["state"]
    return found


def test_session_passes_through_its_states(detector: Detector) -> None:
    with live_service(detector, idle_timeout_s=3.0, idle_warning_s=1.5) as live:
        session_id = live.open()
        assert state(live, session_id) == "created"
        live.http.post(f"/v1/sessions/{session_id}/events", content=dat_stream(1))
        assert state(live, session_id) == "streaming"
        until(lambda: state(live, session_id) == "idle")
        info = live.http.get(f"/v1/sessions/{session_id}").json()
        assert 0 < info["closes_in_s"] <= 1.5
        live.http.post(f"/v1/sessions/{session_id}/events", content=dat_stream(2)[2400:])
        info = live.http.get(f"/v1/sessions/{session_id}").json()
        assert (info["state"], info["closes_in_s"]) == ("streaming", None)
        until(lambda: state(live, session_id) == "closed")
        answer = live.http.get(f"/v1/sessions/{session_id}")
        assert problem(answer) == (410, "session_closed")
        assert (answer.json()["reason"], answer.json()["resumable"]) == ("idle_timeout", False)


def test_idle_client_is_warned_then_closed(detector: Detector) -> None:
    with live_service(detector, idle_timeout_s=3.0, idle_warning_s=1.5) as live:
        session_id = live.open()
        client, begun_s = live.connect(session_id), time.monotonic()
        warning = json.loads(client.recv())
        assert warning["type"] == "idle_warning"
        assert 0 < warning["closes_in_s"] <= 1.5
        assert 1.4 < time.monotonic() - begun_s < 3.0
        client.send(dat_stream(1))
        assert json.loads(client.recv())["type"] == "idle_warning", "one for each silence"
        closed = talk(client)[-1]
        assert (closed["type"], closed["reason"], closed["resumable"]) == ("closed", "idle_timeout", False)
        assert client.close_code == 1000


def test_idle_end_without_snapshots_loses_no_event(detector: Detector) -> None:
    """The open slice and the open window are run and sent before the end."""
    with live_service(detector, idle_timeout_s=1.0, idle_warning_s=0.5) as live:
        session_id = live.open(slices=4, hop=4)
        client = live.connect(session_id)
        client.send(dat_stream(7))
        messages = talk(client)
        windows = [m for m in messages if m["type"] == "window"]
        assert messages[-1]["reason"] == "idle_timeout"
        assert sum(window["events"] for window in windows) == 7 * 300


def test_reconnection_to_idle_session_restarts_the_timeout(detector: Detector) -> None:
    with live_service(detector, idle_timeout_s=3.0, idle_warning_s=1.5) as live:
        session_id = live.open()
        live.connect(session_id).socket.shutdown(socket.SHUT_RDWR)
        until(lambda: state(live, session_id) == "idle")
        client, begun_s = live.connect(session_id), time.monotonic()
        assert state(live, session_id) == "created"
        warning = json.loads(client.recv())
        assert warning["type"] == "idle_warning"
        assert 0 < warning["closes_in_s"] <= 1.5
        assert talk(client)[-1]["reason"] == "idle_timeout"
        assert time.monotonic() - begun_s > 2.9


def test_client_activity_during_final_save_keeps_session(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_service(detector, idle_timeout_s=1.0, idle_warning_s=0.5, snapshot_dir=tmp_path) as live:
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
        assert saving.wait(120)
        client.send(b"")
        until(lambda: live.manager.get(session_id).lifecycle.state == "streaming")
        go_on.set()
        time.sleep(0.3)
        assert state(live, session_id) == "streaming"
        saving.clear()
        assert talk(client)[-1]["reason"] == "idle_timeout"


def test_reconnection_during_final_flush_keeps_session(detector: Detector) -> None:
    """The full outbox stalls the session while it is ended as idle; then its client reads."""
    limits = {"idle_timeout_s": 2.0, "idle_warning_s": 1.0, "outbox_windows": 4, "inbox_slices": 8}
    with live_service(detector, **limits) as live:
        session_id = live.open(hop=1)
        socket = live.connect(session_id)
        socket.send(dat_stream(20))
        socket.close()
        until(lambda: session_id in live.manager._idle_reaper._ending_tasks)
        where = f"/v1/sessions/{session_id}/events"
        place = {"offset": len(dat_stream(20)), "seq": 0}
        answer = live.http.post(where, params=place, content=dat_stream(30)[len(dat_stream(20)) :])
        assert [window["seq"] for window in answer.json()["windows"]] == list(range(29))
        assert live.http.delete(f"/v1/sessions/{session_id}").json()["totals"]["events"] == 9000


def test_failing_maintenance_of_a_session_affects_no_other(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    with live_service(detector, idle_timeout_s=1.0, idle_warning_s=0.5) as live:
        broken, other = live.open(), live.open()
        monkeypatch.setattr(live.manager.get(broken), "report_dropped_events", lambda: 1 / 0)
        until(lambda: other not in live.manager.sessions)
        monkeypatch.undo()


def test_warning_precedes_the_end_for_any_timeout() -> None:
    for timeout_s, warning_s in ((0.1, 10), (1, 10), (60, 10), (60, 0.01)):
        rule = IdlePolicy(timeout_s, warning_s)
        assert timeout_s / 2 <= rule.warn_after_s < timeout_s
        assert rule.check_interval_s < timeout_s / 2


def test_draining_session_closes_with_shutdown(detector: Detector) -> None:
    with live_service(detector, inbox_slices=1, outbox_windows=1) as live:
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
