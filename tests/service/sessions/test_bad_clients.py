"""Clients that disconnect, send forged data or leave; other sessions are not affected."""

import json
import socket
import struct
import threading
import time

import pytest
from safetensors.torch import load, save

from spikewatch.model.detector import Detector
from spikewatch.service.errors import StepFailed
from tests.service.support.live import Live, comparable, dat_file, dat_stream, live_service, talk, upload
from tests.service.support.shared import SharedServices
from tests.service.support.snapshots import saved_meta
from tests.service.support.waiting import until

LOW = {"confidence": 0.001}


@pytest.fixture(scope="module")
def honest_snapshot(live: Live) -> bytes:
    source = live.open(**LOW)
    live.http.post(f"/v1/sessions/{source}/events", content=dat_stream(7))
    data = live.http.get(f"/v1/sessions/{source}/state").content
    live.http.delete(f"/v1/sessions/{source}")
    return data


@pytest.fixture(scope="module")
def undisturbed(live: Live) -> list[dict]:
    return comparable(upload(live, dat_file(8), **LOW)[0])


def track(number: int, class_id: int = 0, t_us: int = 0) -> dict[str, object]:
    box = {"centre_px": [9.0, 9.0], "size_px": [5.0, 5.0], "velocity_px_s": None}
    return {"id": number, "class_id": class_id, **box, "t_us": t_us, "missed": 0}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window.seq", -5),
        ("window.position_us", "soon"),
        ("window.position_us", 10**30),
        ("window.pending.events", "x"),
        ("window.pending.slices", -1),
        ("window.pending.slices", 10**9),
        ("window.pending.spikes", []),
        ("window.pending.energy", {"ac": "x", "mac": 0.0, "ann_mac": 0.0}),
        ("window.logit_t0_us", [0.5]),
        ("logits", "shape"),
        ("logits", "nan"),
        ("membranes", "float64"),
        ("open_slice", "shape"),
        ("accepted_bytes", -1),
        ("accepted_bytes", 0.5),
        ("options.hop", 10**6),
        ("options.format", "evt3"),
        ("options.width", 91),
        ("options.resume", "other"),
        ("stream.decoder.partial", "00" * 8),
        ("stream.decoder.partial", "xyz"),
        ("stream.decoder.carried", {"last": 0}),
        ("stream.decoder.carried.last", 10**30),
        ("stream.decoder.dropped", {"a_label_of_my_own": 1}),
        ("stream.decoder.header.lines", ["% Width x"]),
        ("stream.slicer.open.t0_us", 7),
        ("stream.slicer.open.n_events", -1),
        ("totals.dropped", {"a_label_of_my_own": 1}),
        ("totals.snn_mj", float("nan")),
        ("held", [{"t0_us": 0, "t1_us": 1, "n_events": 1}]),
        ("outbox.gone", -1),
        ("outbox.read", [{}]),
        ("window.seq", 0),
        ("totals.layer_rates", {"a_layer_of_my_own": 0.5}),
        ("window.tracks", {"next_id": 3, "known": [track(1, t_us=2**53)]}),
        ("window.tracks", {"next_id": 3, "known": [track(1), track(1)]}),
        ("window.tracks", {"next_id": 3, "known": [track(3)]}),
        ("window.tracks", {"next_id": 3, "known": [track(1, class_id=2)]}),
        ("window.tracks", {"next_id": 10**6, "known": [track(i + 1) for i in range(501)]}),
    ],
)
def test_forged_snapshot_is_rejected_and_changes_nothing(
    live: Live, honest_snapshot: bytes, undisturbed: list[dict], field: str, value: object
) -> None:
    target = live.open(**LOW)
    tensors, meta = load(honest_snapshot), saved_meta(honest_snapshot)
    place = meta
    if field == "logits":
        first = tensors["logits.0.0"]
        tensors["logits.0.0"] = first[:, :5].clone() if value == "shape" else first * float("nan")
    elif field == "membranes":
        tensors["state.down1"] = tensors["state.down1"].double()
    elif field == "open_slice":
        tensors["open_slice"] = tensors["open_slice"][:, :5].clone()
    else:
        *path, last = field.split(".")
        for step in path:
            place = place[step]
        place[last] = value
    lie = save(tensors, {"session": json.dumps(meta)})
    answer = live.http.put(f"/v1/sessions/{target}/state", content=lie)
    assert (answer.status_code, answer.json()["code"]) == (409, "snapshot_mismatch"), answer.text
    windows = live.http.post(f"/v1/sessions/{target}/events", content=dat_stream(8)).json()["windows"]
    windows += live.http.delete(f"/v1/sessions/{target}").json()["windows"]
    assert comparable(windows) == undisturbed


def test_failing_window_ends_its_session_only(live: Live) -> None:
    """The failure comes after the membranes of the batch were written, so no session may be run twice."""
    manager = live.manager
    sick, well = live.open(**LOW), live.open(**LOW)
    live.http.post(f"/v1/sessions/{sick}/events", content=dat_stream(2))
    manager.get(sick).sequence.window_builder._logits.append((0, (None, None, None)))
    held = threading.Event()
    manager.models.default.submit(lambda _: held.wait(120))
    answers = {}

    def run(session_id: str, data: bytes) -> None:
        answers[session_id] = live.http.post(f"/v1/sessions/{session_id}/events", content=data)

    pieces = {sick: dat_stream(8)[2 * 2400 :], well: dat_stream(8)}
    threads = [threading.Thread(target=run, args=item) for item in pieces.items()]
    for thread in threads:
        thread.start()
    until(lambda: min(len(manager.get(s).inbox) for s in pieces) >= 4)
    held.set()
    for thread in threads:
        thread.join()
    assert answers[sick].json()["code"] == "step_failed"
    rest = live.http.delete(f"/v1/sessions/{well}").json()["windows"]
    expected, _ = upload(live, dat_file(8), **LOW)
    assert comparable(answers[well].json()["windows"] + rest) == comparable(expected)


def test_connection_broken_mid_feed_loses_no_slice(services: SharedServices) -> None:
    live = services(inbox_slices=2, outbox_windows=2)
    expected, _ = upload(live, dat_file(40), hop=1, slices=1)
    session_id = live.open(hop=1, slices=1)
    broken = live.connect(session_id)
    broken.send(dat_stream(40))
    first = json.loads(broken.recv())
    broken.socket.shutdown(socket.SHUT_RDWR)
    until(lambda: not live.manager.get(session_id).feed_lease.held)
    again = live.connect(session_id)
    again.send("close")
    messages = talk(again)
    assert messages[-1]["reason"] == "client"
    windows = {m["seq"]: m for m in [first, *messages] if m["type"] == "window"}
    assert messages[-1]["totals"]["events"] == 40 * 300
    # what was on its way when the connection broke cannot be known; all later ones came
    assert comparable([windows[i] for i in range(10, 40)]) == comparable(expected[10:])


def test_shutdown_mid_feed_runs_accepted_bytes(detector: Detector) -> None:
    with live_service(detector, inbox_slices=2, drain_timeout_s=20) as live:
        client = live.connect(live.open(hop=1, slices=1))
        client.send(dat_stream(40))
        json.loads(client.recv())
        stopper = threading.Thread(target=live.stop)
        stopper.start()
        messages = talk(client)
        stopper.join()
        assert messages[-1]["reason"] == "shutdown"
        assert messages[-1]["totals"]["events"] == 40 * 300
        assert client.close_code == 1001


def test_abandoned_upload_is_cancelled(services: SharedServices) -> None:
    """A few bytes can announce days of empty slices; computing them ends with the connection."""
    live = services(max_sessions=1)
    disconnected = live.rise('spikewatch_sessions_ended_total{reason="disconnected"}')
    records = b"".join(struct.pack("<II", i * 9_900_000 % 2**32, 1) for i in range(400))
    query = "format=dat&width=90&height=60&slice_us=1000"
    with socket.create_connection(("127.0.0.1", int(live.url.rsplit(":", 1)[1]))) as raw:
        head = f"POST /v1/detections?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(records)}\r\n\r\n"
        raw.sendall(head.encode() + records)
        raw.recv(1000)
    until(lambda: not live.http.get("/v1/sessions").json()["sessions"])
    assert disconnected() == 1


def test_reset_clears_the_position(live: Live) -> None:
    session_id = live.open(**LOW)
    client = live.connect(session_id)
    client.send(dat_stream(8))
    client.send("reset")
    while json.loads(client.recv())["type"] != "reset":
        pass
    saved = live.http.get(f"/v1/sessions/{session_id}/state")
    assert "Spikewatch-Position-Us" not in saved.headers
    client.send("close")
    talk(client)


def test_waiting_request_fails_when_session_ends(live: Live) -> None:
    manager = live.manager
    session_id = live.open()
    live.http.post(f"/v1/sessions/{session_id}/events", content=dat_stream(2))
    held = threading.Event()
    manager.models.default.submit(lambda _: held.wait(120))
    answers = []
    waiter = threading.Thread(
        target=lambda: answers.append(live.http.get(f"/v1/sessions/{session_id}/state", timeout=240))
    )
    session = manager.get(session_id)
    waiter.start()
    until(lambda: waiter.is_alive())
    time.sleep(0.2)
    manager._end_threadsafe(session, StepFailed("gone"))
    until(lambda: session.close_error is not None)
    held.set()
    waiter.join()
    assert answers[0].json()["code"] == "step_failed"


def test_counters_continue_after_restored_state(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = struct.pack("<II", 1000, 95)
    session_id = live.open()
    live.http.post(f"/v1/sessions/{session_id}/events", content=outside * 3 + dat_stream(3))
    saved = live.http.get(f"/v1/sessions/{session_id}/state").content
    assert live.http.put(f"/v1/sessions/{session_id}/state", content=saved).status_code == 200
    checks, maintain = [], live.manager._maintain
    monkeypatch.setattr(live.manager, "_maintain", lambda each: (maintain(each), checks.append(each)))
    until(lambda: len(checks) >= 2)
    ended = live.http.delete(f"/v1/sessions/{session_id}")
    assert ended.json()["totals"]["dropped_events"] == {"outside_sensor": 3}
    assert not any(task.done() for task in live.manager._tasks)
