"""Shutdown: it takes a bounded time, and sessions that can be saved are saved."""

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.session_manager.shutdown import drain_sessions
from spikewatch.service.snapshots.store import DirectoryStore
from tests.service.support.http_client import problem
from tests.service.support.live import Live, comparable, dat_file, dat_stream, live_service, talk, upload
from tests.service.support.snapshots import service
from tests.service.support.streams import LOW, left, post, stream, watching
from tests.service.support.uploads import as_hdf5
from tests.service.support.waiting import until


def outcomes(live: Live, outcome: str) -> float:
    return float(live.manager.metrics.snapshots.labels(outcome)._value.get())


def test_stalled_sessions_share_one_save_timeout(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outboxes fill up during the save; sessions that can be saved do not wait for the stalled ones."""
    monkeypatch.setattr("spikewatch.service.snapshots.saver.FINAL_SAVE_TIMEOUT_S", 3.0)
    with service(detector, tmp_path, outbox_windows=1, drain_timeout_s=0) as live:
        stuck = threading.Event()
        live.model.submit(lambda _: stuck.wait(120))
        stalled = [left(live, 4, hop=1) for _ in range(6)]
        good = [left(live, 2) for _ in range(2)]
        threading.Timer(0.3, stuck.set).start()
        begun_s = time.monotonic()
        live.stop()
        assert time.monotonic() - begun_s < 12.0, "one time for all"
        snapshots = live.manager.snapshots
        assert [snapshots.has_snapshot(session_id) for session_id in good] == [True, True]
        assert not any(snapshots.has_snapshot(session_id) for session_id in stalled)
        assert (outcomes(live, "skipped"), outcomes(live, "failed")) == (6, 0)


def test_hanging_disk_does_not_delay_shutdown(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two snapshots are being written at the timeout and are finished; those queued are skipped."""
    monkeypatch.setattr("spikewatch.service.snapshots.saver.FINAL_SAVE_TIMEOUT_S", 0.5)
    free, put = threading.Event(), DirectoryStore.put
    monkeypatch.setattr(DirectoryStore, "put", lambda *args: (free.wait(120), put(*args))[1])
    with service(detector, tmp_path, drain_timeout_s=0) as live:
        for _ in range(4):
            post(live, live.open(), dat_stream(1))
        manager = live.manager
        asyncio.run_coroutine_threadsafe(drain_sessions(manager), manager._loop).result(120)
        assert manager.sessions == {}
        free.set()
        until(lambda: outcomes(live, "skipped") == 2)
    assert outcomes(live, "saved") == len(list(tmp_path.glob("*.snapshot"))) == 2


def test_slow_session_is_saved_and_not_flushed(detector: Detector, tmp_path: Path) -> None:
    """The connection must not flush and end its session while the shutdown can still save it."""
    data, cut = dat_stream(12), 8 * 2400 + 800
    with service(detector, tmp_path, drain_timeout_s=0.3) as live:
        expected, _ = upload(live, dat_file(12), **LOW)
        stuck, session = threading.Event(), live.manager.get(live.open(**LOW))
        live.model.submit(lambda _: stuck.wait(120))
        with stream(live, session.id) as client:
            client.recv()
            client.send(data[:cut])
            until(lambda: len(session.inbox) == 8)
            threading.Timer(0.8, stuck.set).start()
            live.stop()
            got = [message for message in talk(client) if message["type"] == "window"]
    with service(detector, tmp_path) as live:
        saved = live.http.post("/v1/sessions", json={"resume": session.id}).json()
        assert saved["accepted_bytes"] == cut
        with stream(live, session.id, offset=cut, seq=len(got)) as client:
            client.recv()
            client.send(data[cut:])
            client.send("close")
            got += [message for message in talk(client) if message["type"] == "window"]
    assert comparable(got) == comparable(expected)


@pytest.mark.parametrize(
    ("where", "begun"),
    [
        ("POST /v1/sessions", "{"),
        ("POST /v1/sessions/{}/events", "{"),
        ("PUT /v1/sessions/{}/state", "{"),
        ("POST /v1/detections", "{"),
        ("POST /v1/detections", "HDF5"),
        ("POST /v1/detections?format=dat", "DAT"),
    ],
)
def test_shutdown_answers_unfinished_bodies_with_503(
    detector: Detector, tmp_path: Path, where: str, begun: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Uvicorn alone would answer 500 and log a traceback."""
    begin = {"DAT": dat_file(3), "HDF5": as_hdf5(tmp_path, 4)[:5000]}.get(begun, b"{")
    with live_service(detector, drain_timeout_s=0.2) as live:
        session_id = live.open() if "{}" in where else None
        where = where.format(session_id)
        with socket.create_connection(("127.0.0.1", live.port), timeout=240) as raw:
            raw.sendall(f"{where} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n".encode() + begin)
            until(lambda: bool(live.server.server_state.tasks))
            until(lambda: begun != "DAT" or bool(live.manager.sessions))
            until(lambda: session_id is None or live.manager.get(session_id).feed_lease.held)
            live.stop()
            answer = raw.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"draining"' in answer
    assert "Exception in ASGI application" not in caplog.text


def test_second_signal_stops_at_once_and_cleans_up(
    detector: Detector, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uvicorn then skips the shutdown of the application, which would leave uploads on disk."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data, left = as_hdf5(tmp_path, 40), []
    with live_service(detector) as live:
        place = {"job_id": "half", "length": len(data)}
        live.http.post("/v1/detections", params=place, content=data[:80_000]).raise_for_status()
        assert list(tmp_path.glob("spikewatch-*"))
        stop = live.server.shutdown

        async def shutdown(sockets: Any) -> None:
            await stop(sockets)
            left.extend(tmp_path.glob("spikewatch-*"))

        monkeypatch.setattr(live.server, "shutdown", shutdown)
        live.server.force_exit = True
        live.stop()
    assert left == []
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_shutdown_inside_a_header_is_no_error(detector: Detector) -> None:
    with live_service(detector) as live, stream(live, live.open()) as client:
        client.recv()
        client.send(dat_file(1)[:20])
        until(lambda: live.http.get("/v1/sessions").json()["sessions"][0]["accepted_bytes"] == 20)
        live.stop()
        (closed,) = talk(client)
        assert (closed["reason"], client.close_code) == ("shutdown", 1001)


@pytest.mark.parametrize(("saved", "code"), [(False, 1012), (True, 1001)])
def test_unfinished_session_is_closed_at_shutdown(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: bool, code: int
) -> None:
    """Uvicorn alone would close with 1012 and without a message, for watchers too."""
    monkeypatch.setattr("spikewatch.service.snapshots.saver.FINAL_SAVE_TIMEOUT_S", 0.3)
    with service(detector, tmp_path, drain_timeout_s=0.2) as live:
        session_id, stuck = live.open(), threading.Event()
        post(live, session_id, dat_stream(1))
        if saved:
            live.http.post(f"/v1/sessions/{session_id}/snapshot").raise_for_status()
        with stream(live, session_id) as client, watching(live, session_id) as watcher:
            for talker in (client, watcher):
                talker.recv()
            live.model.submit(lambda _: stuck.wait(120))
            client.send(dat_stream(8))
            until(lambda: live.manager.get(session_id).accepted_bytes > 8 * 2400)
            threading.Timer(2.0, stuck.set).start()
            live.stop()
            for talker in (client, watcher):
                closed = talk(talker)[-1]
                assert (closed["type"], closed["reason"]) == ("closed", "shutdown")
                assert closed["resumable"] is saved
            assert client.close_code == code


def test_client_is_closed_when_save_exceeds_drain_timeout(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is slow: the snapshot is complete only after the client has disconnected."""
    monkeypatch.setattr("spikewatch.service.snapshots.saver.FINAL_SAVE_TIMEOUT_S", 0.3)
    put = DirectoryStore.put
    monkeypatch.setattr(DirectoryStore, "put", lambda *args: (time.sleep(2.5), put(*args))[1])
    with service(detector, tmp_path, drain_timeout_s=0.2) as live:
        session_id = live.open()
        with stream(live, session_id) as client:
            client.recv()
            client.send(dat_stream(2))
            until(lambda: live.manager.get(session_id).accepted_bytes > 0)
            live.stop()
            assert talk(client)[-1]["reason"] == "shutdown"
            assert client.close_code == 1012
    assert live.manager.snapshots.has_snapshot(session_id)


def test_upload_waiting_for_watcher_fails_at_shutdown(
    detector: Detector, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[httpx.Response] = []
    with live_service(detector, drain_timeout_s=0.2) as live:

        def send() -> None:
            answers.append(live.http.post(f"/v1/detections?watched_as={'0' * 32}", content=dat_file(4)))

        sender = threading.Thread(target=send)
        sender.start()
        until(lambda: bool(live.manager.sessions))
        live.stop()
        sender.join()
    assert problem(answers[0]) == (503, "draining")
    assert "Exception in ASGI application" not in caplog.text
