"""Sessions saved while much else goes on: full inboxes, clients that are gone or end them, a reset."""

import asyncio
import shutil
import threading
import time
from pathlib import Path

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.errors import SessionClosed
from spikewatch.service.inference.engine import Engine, SequenceState
from tests.service.support.http_client import problem
from tests.service.support.live import comparable, dat_file, dat_stream, talk, upload
from tests.service.support.many import LOW
from tests.service.support.snapshots import ended, resume, service
from tests.service.support.streams import post, stream
from tests.service.support.waiting import until


def slow_down(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    fast = Detector.step_in_bank
    monkeypatch.setattr(Detector, "step_in_bank", lambda *args: (time.sleep(step_s), fast(*args))[1])


def test_shutdown_saves_sessions_with_full_inboxes(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all inboxes full it takes longer than for one session; none has been saved before."""
    monkeypatch.setattr("spikewatch.service.snapshots.saver.FINAL_SAVE_TIMEOUT_S", 0.2)
    data = dat_stream(20)
    with service(detector, tmp_path) as live:
        client = live.connect(live.open(**LOW))
        slow_down(monkeypatch, 0.1)
        client.send(data)
        client.recv()
        live.stop()
        closed = talk(client)[-1]
    assert (closed["reason"], closed["resumable"], closed["saved_bytes"]) == ("shutdown", True, len(data))


def test_session_ended_during_save_counts_no_failure(detector: Detector, tmp_path: Path) -> None:
    with service(detector, tmp_path) as live:
        host, stuck = live.manager, threading.Event()
        session_id = live.open()
        post(live, session_id, dat_stream(2))
        session = host.get(session_id)
        host.models.worker.submit(lambda: stuck.wait(120))
        saving = threading.Thread(target=live.http.post, args=(f"/v1/sessions/{session_id}/snapshot",))
        saving.start()
        until(lambda: host.snapshots.is_busy(session_id))
        session._loop.call_soon_threadsafe(host.end, session, SessionClosed("ended by the client"), "client")
        stuck.set()
        saving.join()
        until(lambda: not host.snapshots.is_busy(session_id))
        for outcome in ("failed", "skipped"):
            assert live.metric(f'spikewatch_snapshots_total{{outcome="{outcome}"}}') == 0
        assert not host.snapshots.has_snapshot(session_id)


def test_stalled_session_does_not_block_saves(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two whose clients are gone, and one more: no more than two are saved at once."""
    with service(detector, tmp_path, outbox_windows=1, snapshot_every_s=0.1) as live:
        host = live.manager
        slow_down(monkeypatch, 0.05)
        for _ in range(2):
            session = host.get(live.open(hop=1))
            with stream(live, session.id) as feeder:
                feeder.recv()
                feeder.send(dat_stream(20))
            until(lambda session=session: session.outbox.full)
        other = live.open()
        post(live, other, dat_stream(2))
        until(lambda: host.snapshots.has_snapshot(other))


def test_drops_are_counted_once_when_saved_during_reset(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved after the reset has flushed, written down once it has retired the decoder."""
    with service(detector, tmp_path / "saved") as live:
        host, session = live.manager, live.manager.get(live.open())
        post(live, session.id, dat_stream(2) + b"abc")
        flush = Engine.flush

        def flush_and_wait(engine: Engine, lane: SequenceState) -> list:
            host.models.worker.submit(lambda: time.sleep(0.3))  # before whatever comes next
            return flush(engine, lane)

        monkeypatch.setattr(Engine, "flush", flush_and_wait)

        async def reset_and_save() -> None:
            stuck = threading.Event()
            host.models.worker.submit(lambda: stuck.wait(120))
            reset = asyncio.ensure_future(session.reset())
            while not session.inbox.head:
                await asyncio.sleep(0)
            save = asyncio.ensure_future(host.snapshots.save(session))
            while len(session.inbox._items) < 3:  # the last slice, its flush, the snapshot
                await asyncio.sleep(0)
            stuck.set()
            await asyncio.gather(reset, save)

        asyncio.run_coroutine_threadsafe(reset_and_save(), session._loop).result(120)
        shutil.copytree(tmp_path / "saved", tmp_path / "as it was")
    with service(detector, tmp_path / "as it was") as live:
        assert resume(live, session.id)["totals"]["dropped_events"] == {"truncated_record": 1}


def test_stalled_session_ends_with_its_previous_snapshot(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client reads no results, so what it sent cannot all be run; it is told from where to send again."""
    for patience in ("SAVE_TIMEOUT_S", "FINAL_SAVE_TIMEOUT_S"):
        monkeypatch.setattr(f"spikewatch.service.snapshots.saver.{patience}", 0.5)
    data = dat_stream(40)
    with service(detector, tmp_path, inbox_slices=2, outbox_windows=2) as live:
        expected, _ = upload(live, dat_file(40), hop=1, **LOW)
        session_id = live.open(hop=1, **LOW)
        got = post(live, session_id, data[:5000]).json()["windows"]
        live.http.post(f"/v1/sessions/{session_id}/snapshot").raise_for_status()
        host = live.manager
        session = host.get(session_id)
        stuck = threading.Event()
        host.models.default.submit(lambda _: stuck.wait(120))
        with stream(live, session_id) as client:
            client.recv()
            client.send(data[5000:])
            until(lambda: len(session.inbox) == 2)
            answer = live.http.post(f"/v1/sessions/{session_id}/snapshot")
            assert problem(answer) == (503, "snapshot_failed")
            assert "Retry-After" in answer.headers
            assert live.metric('spikewatch_snapshots_total{outcome="skipped"}') == 1
            assert live.metric('spikewatch_snapshots_total{outcome="failed"}') == 0, "the disk is sound"
            stuck.set()
            live.stop()
            got += [message for message in talk(client) if message["type"] == "window"]
    with service(detector, tmp_path) as live:
        accepted = resume(live, session_id)["accepted_bytes"]
        assert accepted in (5000, len(data))
        got += post(live, session_id, data[accepted:], seq=len(got)).json()["windows"]
        assert comparable(got + ended(live, session_id)["windows"]) == comparable(expected)
