"""Real recordings through the command line, an upload, POSTed pieces and the WebSocket: the same results."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from spikewatch.model.checkpoints.checkpoint import load_detector
from tests.service.support.live import Live, comparable, live_service, talk, upload

LOW = 0.01
ODD_SIZES = (1, 7, 4099, 65_521, 33, 20_011)


@pytest.fixture(scope="module")
def real_live() -> Iterator[Live]:
    """The service as it is installed: the default model at its full input size."""
    with live_service(load_detector(runtime="auto"), idle_timeout_s=120) as service:
        yield service


def command_line(path: Path, out: Path, limit_bytes: int | None = None) -> list[dict[str, Any]]:
    """Windows of `spikewatch detect`, in a process of its own with its heap limited."""

    def limit() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))

    script = Path(sys.executable).with_name("spikewatch")
    command = [script, "detect", path, "--confidence", str(LOW), "--out", out]
    subprocess.run(command, check=True, capture_output=True, timeout=600, preexec_fn=limit)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[-1]["summary"]["training"] == "trained on simulated recordings and on events made from video"
    return comparable(lines[:-1])


def posted(live: Live, data: bytes) -> list[dict[str, Any]]:
    """Windows of pieces of odd sizes, and of the end of the session."""
    session_id = live.http.post("/v1/sessions", json={"confidence": LOW}).json()["session_id"]
    windows, start = [], 0
    for size in cycle(ODD_SIZES):
        answer = live.http.post(f"/v1/sessions/{session_id}/events", content=data[start : start + size])
        assert answer.status_code == 200, answer.text
        windows += answer.json()["windows"]
        start += size
        if start >= len(data):
            break
    return comparable(windows + live.http.delete(f"/v1/sessions/{session_id}").json()["windows"])


def streamed(live: Live, data: bytes) -> list[dict[str, Any]]:
    """Windows over the WebSocket, in messages of 16 KB."""
    session_id = live.http.post("/v1/sessions", json={"confidence": LOW}).json()["session_id"]
    socket = live.connect(session_id)
    for start in range(0, len(data), 16_000):
        socket.send(data[start : start + 16_000])
    socket.send("close")
    return comparable([m for m in talk(socket) if m["type"] == "window"])


@pytest.mark.slow
def test_traffic_four_ways(real_live: Live, recordings: Path, tmp_path: Path) -> None:
    path = recordings / "traffic_davis346_td.dat"
    windows, summary = upload(real_live, path.read_bytes(), confidence=LOW)
    expected = comparable(windows)
    assert (summary["windows"], summary["events"], summary["width"], summary["height"]) == (
        48,
        78_830,
        346,
        260,
    )
    assert any(window["detections"] for window in expected)
    assert posted(real_live, path.read_bytes()) == expected
    assert streamed(real_live, path.read_bytes()) == expected
    assert command_line(path, tmp_path / "r.ndjson") == expected


@pytest.mark.slow
def test_a_large_sensor_in_bounded_memory(real_live: Live, recordings: Path, tmp_path: Path) -> None:
    """1.2 M events at 1280x720: all are in the results, and 1.5 GB of heap, torch included, are enough."""
    path = recordings / "imx636_spinning_td.dat"
    windows, summary = upload(real_live, path.read_bytes(), confidence=LOW)
    expected = comparable(windows)
    assert summary["events"] == sum(window["events"] for window in expected) == 1_218_618
    assert (summary["width"], summary["height"], summary["windows"]) == (1280, 720, 216)
    assert command_line(path, tmp_path / "r.ndjson", limit_bytes=1_500_000_000) == expected
    assert streamed(real_live, path.read_bytes()) == expected
    assert posted(real_live, path.read_bytes()) == expected


def test_info_tells_the_truth_about_each_recording(recordings: Path) -> None:
    """Facts from the recordings' own description, and from decoders that are not ours."""
    facts = {
        "traffic_davis346_td.dat": ("dat", 346, 260, 78_830, 2_359_945),
        "traffic_davis346_short.aedat4": ("aedat4", 346, 260, 6_676, 169_941),
        "ncars_car_td.dat": ("dat", None, None, 4_407, 99_937),
        "imx636_spinning_td.dat": ("dat", 1280, 720, 1_218_618, 10_767_997),
        "sparklers_evt2.raw": ("evt2", 640, 480, 521_252, 95_871),
        "pedestrians_evt3.raw": ("evt3", 1280, 720, 5_000, 45_210),
    }
    script = Path(sys.executable).with_name("spikewatch")
    for name, expected in facts.items():
        done = subprocess.run(
            [script, "info", recordings / name, "--json"], capture_output=True, check=True, timeout=240
        )
        info = json.loads(done.stdout)
        found = tuple(info[key] for key in ("format", "width", "height", "events", "duration_us"))
        assert found == expected, name
        assert info["dropped"] == {}
        assert info["t_last_us"] - info["t_first_us"] == info["duration_us"]
