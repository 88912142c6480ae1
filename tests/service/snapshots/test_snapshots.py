"""Sessions that outlive the service: saved on demand, now and then, when it stops and when they are idle."""

import itertools
import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikewatch.model.detector import Detector
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.service.snapshots.store import DirectoryStore
from tests.ingest.support.encoders import ENCODERS
from tests.model.support.fakes import small_detector
from tests.service.support.http_client import problem
from tests.service.support.live import HEIGHT, WIDTH, comparable, dat_file, dat_stream, talk, upload
from tests.service.support.many import LOW
from tests.service.support.snapshots import ended, resume, service
from tests.service.support.streams import post, stream
from tests.service.support.waiting import until


def encoded(format: str, slices: int) -> bytes:
    """The events of `dat_stream` in another format, with a header that names the sensor."""
    if format == "dat":
        return dat_file(slices)
    words = np.frombuffer(dat_stream(slices), "<u4").reshape(-1, 2)
    events = [(int(t), int(a & 0x3FFF), int(a >> 14 & 0x3FFF), int(a >> 28 & 1)) for t, a in words]
    header = f"% evt {format[3]}.{format[4:] or 0}\n% geometry {WIDTH}x{HEIGHT}\n% end\n"
    return header.encode() + ENCODERS[format](events)


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("dat", {}),
        ("evt2", {"hop": 1}),
        ("evt21", {"slices": 3, "hop": 2}),
        ("evt3", {"slices": 2, "hop": 3}),
    ],
)
def test_session_resumed_repeatedly_equals_uninterrupted_one(
    detector: Detector, tmp_path: Path, format: str, options: dict
) -> None:
    """Saved and resumed in another process after every piece, in mid-record, mid-slice and mid-window."""
    data = encoded(format, 10)
    with service(detector, tmp_path) as live:
        expected, summary = upload(live, data, **LOW, **options)
    cuts = [0, len(data) // 7, len(data) // 3 + 1, len(data) // 3 + 2, 2 * len(data) // 3 + 3, len(data)]
    session_id, got, accepted = "", [], 0
    for a, b in itertools.pairwise(cuts):
        with service(detector, tmp_path) as live:
            if session_id:
                accepted = resume(live, session_id)["accepted_bytes"]
            else:
                answer = live.http.post("/v1/sessions", json={"format": format} | LOW | options)
                session_id = answer.json()["session_id"]
            assert accepted == a
            got += post(live, session_id, data[a:b], offset=a).json()["windows"]
            saved = live.http.post(f"/v1/sessions/{session_id}/snapshot")
            assert saved.json() == {"session_id": session_id, "accepted_bytes": b, "next_seq": len(got)}
    with service(detector, tmp_path) as live:
        resume(live, session_id)
        rest = ended(live, session_id)
    assert comparable(got + rest["windows"]) == comparable(expected)
    assert rest["totals"] == {key: summary[key] for key in rest["totals"]}


def test_whole_window_session_resumes_from_snapshot(tmp_path: Path) -> None:
    ordinary = small_detector(config=SpikeYOLOConfig(beta=0.5, input_gain=0.5))
    backwards = Detector(ordinary.network, replace(ordinary.spec, time_order="newest_first"))
    data, cut = dat_stream(10), 6 * 2400 + 13
    with service(backwards, tmp_path) as live:
        expected, _ = upload(live, dat_file(10), **LOW)
        session_id = live.open(**LOW)
        got = post(live, session_id, data[:cut]).json()["windows"]
    with service(backwards, tmp_path) as live:
        assert resume(live, session_id)["accepted_bytes"] == cut
        got += post(live, session_id, data[cut:]).json()["windows"]
        assert comparable(got + ended(live, session_id)["windows"]) == comparable(expected)


def test_shutdown_saves_open_sessions(detector: Detector, tmp_path: Path) -> None:
    """One that is fed over a WebSocket, one over HTTP; nothing is flushed, so that nothing differs."""
    data, cut = dat_stream(10), 6 * 2400 + 5
    with service(detector, tmp_path) as live:
        expected, _ = upload(live, dat_file(10), **LOW)
        fed, posted = live.open(**LOW), live.open(**LOW)
        from_posted = post(live, posted, data[:cut]).json()["windows"]
        client = live.connect(fed)
        client.send(data[:cut])
        first = json.loads(client.recv())
        stopper = threading.Thread(target=live.stop)
        stopper.start()
        messages = talk(client)
        stopper.join()
    saved, closed = messages
    assert saved == {"type": "saved", "accepted_bytes": cut, "next_seq": 1}
    assert (closed["reason"], closed["resumable"], closed["saved_bytes"]) == ("shutdown", True, cut)
    assert client.close_code == 1001
    with service(detector, tmp_path) as live:
        for session_id, got in ((fed, [first]), (posted, from_posted)):
            gone = live.http.get(f"/v1/sessions/{session_id}")
            assert (problem(gone), gone.json()["resumable"]) == ((410, "session_closed"), True)
            assert gone.json()["reason"] == "interrupted"
            resume(live, session_id)
            got += post(live, session_id, data[cut:], offset=cut, seq=1).json()["windows"]
            assert comparable(got + ended(live, session_id)["windows"]) == comparable(expected)


def test_unread_results_survive_restart(detector: Detector, tmp_path: Path) -> None:
    with service(detector, tmp_path) as live:
        session_id = live.open(hop=1, **LOW)
        windows = post(live, session_id, dat_stream(6)).json()["windows"]
        post(live, session_id, b"", seq=3)
        live.manager.get(session_id).outbox.rewind(3)
        live.http.post(f"/v1/sessions/{session_id}/snapshot").raise_for_status()
    with service(detector, tmp_path) as live:
        resume(live, session_id)
        with stream(live, session_id) as client:
            client.recv()
            client.send("close")
            unread = [m for m in talk(client) if m["type"] == "window"]
        assert comparable(unread[:2]) == comparable(windows[3:])
        assert [w["seq"] for w in unread] == [3, 4, 5]


def test_idle_session_is_saved_before_it_ends(detector: Detector, tmp_path: Path) -> None:
    data = dat_stream(8)
    with service(detector, tmp_path, idle_timeout_s=2.0) as live:
        expected, _ = upload(live, dat_file(8), **LOW)
        session_id = live.open(**LOW)
        client = live.connect(session_id)
        client.send(data[:15_000])
        messages = talk(client)
        assert [m["type"] for m in messages] == ["window", "idle_warning", "saved", "closed"]
        assert messages[-1]["resumable"]
        gone = live.http.get(f"/v1/sessions/{session_id}")
        assert (gone.json()["reason"], gone.json()["resumable"]) == ("idle_timeout", True)
        resume(live, session_id)
        rest = post(live, session_id, data[15_000:], offset=15_000).json()["windows"]
        rest += ended(live, session_id)["windows"]
    assert comparable(messages[:1] + rest) == comparable(expected)


def test_changed_session_is_saved_periodically(detector: Detector, tmp_path: Path) -> None:
    with service(detector, tmp_path, snapshot_every_s=0.1) as live:
        session_id = live.open()
        client = live.connect(session_id)
        for i in range(3):
            client.send(dat_stream(3)[i * 2400 : (i + 1) * 2400])
            message = json.loads(client.recv())
            assert (message["type"], message["accepted_bytes"]) == ("saved", (i + 1) * 2400)
        info = live.http.get(f"/v1/sessions/{session_id}").json()
        assert info["saved_bytes"] == info["accepted_bytes"] == 7200
        threading.Event().wait(1.5)
        assert live.metric('spikewatch_snapshots_total{outcome="saved"}') == 3, "silence is not saved again"
        client.send("reset")
        assert json.loads(client.recv())["type"] == "window"
        assert {json.loads(client.recv())["type"] for _ in range(2)} == {"reset", "saved"}
        client.send("close")
        talk(client)
        until(lambda: list(tmp_path.glob("*.snapshot")) == [])  # ended by its client, it is forgotten


def test_id_of_saved_session_is_taken_until_deleted(detector: Detector, tmp_path: Path) -> None:
    with service(detector, tmp_path) as live:
        live.open(session_id="cam")
        post(live, "cam", dat_stream(1))
    with service(detector, tmp_path, max_sessions=1) as live:
        again = live.http.post("/v1/sessions", json={"session_id": "cam"})
        assert problem(again) == (409, "session_exists")
        assert "is saved" in again.json()["detail"]
        resume(live, "cam")
        assert problem(live.http.post("/v1/sessions", json={"resume": "cam"})) == (409, "session_exists")
        assert problem(live.http.post("/v1/sessions", json={"resume": "x"})) == (503, "sessions_full")
        host = live.manager
        live.http.delete("/v1/sessions/cam")
        assert problem(live.http.post("/v1/sessions", json={"resume": "cam"})) == (410, "session_closed")
        assert problem(live.http.post("/v1/sessions", json={"resume": "x"})) == (404, "session_unknown")
        host._ended._ended.clear()
        live.open(session_id="cam")
        post(live, "cam", dat_stream(1))
    with service(detector, tmp_path) as live:
        assert live.http.delete("/v1/sessions/cam/snapshot").status_code == 204
        assert problem(live.http.get("/v1/sessions/cam")) == (404, "session_unknown")
        live.open(session_id="cam")


def test_mismatched_snapshot_is_rejected_with_the_field(detector: Detector, tmp_path: Path) -> None:
    with service(detector, tmp_path) as live:
        live.open(session_id="cam")
        post(live, "cam", dat_stream(3))
        live.http.post("/v1/sessions/cam/snapshot")
    other_weights = small_detector()
    next(other_weights.network.parameters()).data[0] *= 2
    other_neuron = small_detector(config=SpikeYOLOConfig(beta=0.5))
    other_size = small_detector(96, 96)
    others = ((other_weights, "weights"), (other_neuron, "beta"), (other_size, "input"))
    for other, word in others:
        with service(other, tmp_path) as live:
            answer = live.http.post("/v1/sessions", json={"resume": "cam"})
            assert problem(answer) == (409, "snapshot_mismatch")
            assert f"the snapshot's {word} is " in answer.json()["detail"]
            assert live.http.get("/v1/sessions").json()["sessions"] == []
    store = DirectoryStore(tmp_path, 9, 1 << 30)
    good = store.get("cam")
    assert good is not None
    store.put("cam", good.replace(b"spikewatch-session-2", b"spikewatch-session-1"))
    store.close()
    with service(detector, tmp_path) as live:
        answer = live.http.post("/v1/sessions", json={"resume": "cam"})
        assert "the snapshot's version is 'spikewatch-session-1'" in answer.json()["detail"]
        (tmp_path / "cam.snapshot").write_bytes((tmp_path / "cam.snapshot").read_bytes()[:-9])
        answer = live.http.post("/v1/sessions", json={"resume": "cam"})
        assert problem(answer) == (409, "snapshot_mismatch")
        assert "checksum" in answer.json()["detail"]
        assert live.metric('spikewatch_snapshots_total{outcome="refused"}') == 2
        live.manager.snapshots.store.put("cam", good)
        assert resume(live, "cam")["accepted_bytes"] == 7200


def test_failing_disk_is_reported_and_session_continues(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service(detector, tmp_path) as live:
        session_id = live.open()
        post(live, session_id, dat_stream(1))

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(DirectoryStore, "put", full)
        answer = live.http.post(f"/v1/sessions/{session_id}/snapshot")
        assert problem(answer) == (503, "snapshot_failed")
        assert "No space left" in answer.json()["detail"]
        assert post(live, session_id, dat_stream(2)[2400:]).status_code == 200
        assert live.metric('spikewatch_snapshots_total{outcome="failed"}') == 1
        monkeypatch.undo()


def test_snapshot_without_state_counts_neither_as_skipped_nor_failed(
    detector: Detector, tmp_path: Path
) -> None:
    with service(detector, tmp_path) as live:
        session_id = live.http.post("/v1/sessions", json={}).json()["session_id"]
        answer = live.http.post(f"/v1/sessions/{session_id}/snapshot")
        assert problem(answer) == (400, "bad_request")
        for outcome in ("skipped", "failed", "saved"):
            assert live.metric(f'spikewatch_snapshots_total{{outcome="{outcome}"}}') == 0


def test_uploads_are_not_saved(detector: Detector, tmp_path: Path) -> None:
    with service(detector, tmp_path, snapshot_every_s=0.01) as live:
        upload(live, dat_file(20))
    assert [path.name for path in tmp_path.iterdir()] == ["owner"]
