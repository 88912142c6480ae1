"""Sinks of the service and of commands: results of all sessions, and no cost when a sink is down."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from tests.service.sinks.support.receiver import receiver
from tests.service.support.console import Done
from tests.service.support.live import comparable, dat_file, dat_stream, live_service, upload
from tests.service.support.process import free_port
from tests.service.support.waiting import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_sinks_receive_the_results_of_sessions_and_uploads(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "all.ndjson"
    down = f"http://127.0.0.1:{free_port()}/hook"
    with live_service(
        detector, sinks=f"file://{path},{down}", webhook_secret=SECRET, sink_queue_windows=4
    ) as live:
        uploaded, _ = upload(live, dat_file(12, seed=1), confidence=0.001)
        session = live.open(session_id="gate", confidence=0.001)
        posted = live.http.post(f"/v1/sessions/{session}/events", content=dat_stream(12)).json()["windows"]
        posted += live.http.delete(f"/v1/sessions/{session}").json()["windows"]
        until(lambda: live.metric('spikewatch_sink_results_total{sink="file",outcome="delivered"}') == 24 / 4)
        until(lambda: live.metric('spikewatch_sink_up{sink="webhook"}') == 0)
        assert live.metric('spikewatch_sink_up{sink="file"}') == 1
        assert live.metric('spikewatch_sink_spool_bytes{sink="webhook"}') > 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    of_session = [line for line in lines if line.pop("session") == "gate"]
    assert comparable(of_session) == comparable(posted)
    assert comparable([line for line in lines if line not in of_session]) == comparable(uploaded)
    assert len(posted) == len(uploaded) > 0


def test_detect_sends_results_to_sinks_and_counts_them(
    detector: Detector, tmp_path: Path, run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIKEWATCH_WEBHOOK_SECRET", SECRET)
    recording, weights = tmp_path / "street_td.dat", tmp_path / "small.safetensors"
    recording.write_bytes(dat_file(10))
    save_checkpoint(weights, detector.network, detector.spec)
    options = ("--weights", weights, "--hop", 1, "--out", tmp_path / "w.ndjson")
    with receiver() as received:
        sinks = ("--sink", received.url, "--sink", f"file://{tmp_path}/all.ndjson")
        done = run("detect", recording, *options, *sinks)
    assert done.status == 0, done.err
    *windows, _summary = map(json.loads, (tmp_path / "w.ndjson").read_text().splitlines())
    posted = [result for _, body in received.requests for result in json.loads(body)["data"]]
    assert posted == [{"session": "street_td", **window} for window in windows]
    assert list(map(json.loads, (tmp_path / "all.ndjson").read_text().splitlines())) == posted
    for name in ("webhook", "file"):
        assert f"sink {name}: {len(windows)} results delivered, 0 dropped, 0 refused" in done.err
    assert run("detect", recording, "--sink", "ftp://x").status == 2


def test_stream_sends_the_windows_that_it_receives(
    detector: Detector, tmp_path: Path, run: Callable[..., Done]
) -> None:
    recording, path = tmp_path / "street_td.dat", tmp_path / "all.csv"
    recording.write_bytes(dat_file(10))
    with live_service(detector) as live:
        options = ("--url", live.url, "--speed", 0, "--policy", "block", "--confidence", 0.001, "--json")
        done = run("stream", recording, *options, "--sink", f"file://{path}")
    assert done.status == 0, done.err
    messages = [json.loads(line) for line in done.out.splitlines()]
    boxes = [(w["seq"], box) for w in messages if w["type"] == "window" for box in w["detections"]]
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(boxes) > 0
    assert [(row["session"], row["seq"], row["label"], row["x"]) for row in rows] == [
        ("street_td", str(seq), box["label"], str(box["x"])) for seq, box in boxes
    ]
