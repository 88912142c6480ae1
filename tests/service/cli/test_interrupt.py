"""Ctrl-C: what has been found is kept in whole files, and the exit status says that it is not all."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from tests.service.support.console import Done
from tests.service.support.live import HEIGHT, WIDTH, Live, comparable, dat_file

pytestmark = pytest.mark.slow

SCRIPT = Path(sys.executable).with_name("spikewatch")
LIMIT_S = 240.0
ENDINGS = (".ndjson", ".json", ".npy", ".mp4")


@pytest.fixture(scope="module")
def weights(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("interrupt") / "small.safetensors"
    save_checkpoint(path, detector.network, detector.spec)
    return path


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("interrupt") / "long_td.dat"
    path.write_bytes(dat_file(4000, per_slice=20))
    return path


def interrupted(command: list[object], begun: Callable[[], bool], times: int = 1) -> Done:
    """Run a command of its own, and press Ctrl-C once it has begun to give results."""
    pipe = subprocess.PIPE
    with subprocess.Popen(list(map(str, command)), stdout=pipe, stderr=pipe, text=True) as process:
        try:
            deadline = time.monotonic() + LIMIT_S
            while not begun():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline, "the command did not begin"
                time.sleep(0.02)
            for _ in range(times):
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
    return Done(process.returncode, out, err)


def has_content(folder: Path, pattern: str) -> bool:
    return any(path.stat().st_size for path in folder.glob(pattern))


def windows_of_all_sessions(live: Live) -> int:
    return sum(session["totals"]["windows"] for session in live.http.get("/v1/sessions").json()["sessions"])


def test_detect_finishes_its_files(
    weights: Path, long_recording: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    outs = {ending: tmp_path / f"r{ending}" for ending in ENDINGS}
    options = ["--weights", weights, "--confidence", 0.001, "--json"]
    files = [x for path in outs.values() for x in ("--out", path)]
    command = [SCRIPT, "detect", long_recording, *options, *files]
    done = interrupted(command, lambda: has_content(tmp_path, ".r.*.part.ndjson"))
    assert done.status == 130, done.err
    assert "Traceback" not in done.err
    assert done.err.startswith("spikewatch: interrupted ")
    assert "the files hold what was found until then" in done.err
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in outs.values()}

    summary = json.loads(done.out)
    assert summary["interrupted"] is True
    *windows, last = (json.loads(line) for line in outs[".ndjson"].read_text().splitlines())
    assert last["summary"] == summary
    assert 0 < len(windows) == summary["windows"] < 1000
    assert json.loads(outs[".json"].read_text()) == {"windows": windows, "summary": summary}
    assert len(np.load(outs[".npy"])) == summary["detections"]
    with av.open(str(outs[".mp4"])) as video:
        assert 0 <= 4 * len(windows) - len(list(video.decode(video=0))) < 4

    whole = tmp_path / "whole.ndjson"
    slices = round(summary["events"] / 20)
    short = tmp_path / "short_td.dat"
    short.write_bytes(_first_slices(long_recording, slices))
    assert run("detect", short, *options, "--out", whole).status == 0
    expected = [json.loads(line) for line in whole.read_text().splitlines()[:-1]]
    assert comparable(windows) == comparable(expected), "what was found is what it is without Ctrl-C"


def test_a_second_time_breaks_it_off(weights: Path, long_recording: Path, tmp_path: Path) -> None:
    command = [SCRIPT, "detect", long_recording, "--weights", weights, "--out", tmp_path / "r.ndjson"]
    done = interrupted(command, lambda: has_content(tmp_path, ".r.*.part.ndjson"), times=2)
    assert done.status == 130
    assert "Traceback" not in done.err
    assert {path.name for path in tmp_path.iterdir()} <= {"r.ndjson"}, "whole, or not there"


def test_stream_ends_its_session(live: Live, long_recording: Path) -> None:
    command = [SCRIPT, "stream", long_recording, "--url", live.url, "--json"]
    done = interrupted(command, lambda: windows_of_all_sessions(live) > 0)
    assert done.status == 130, done.err
    assert done.err.strip() == "spikewatch: interrupted; the session was ended"
    messages = [json.loads(line) for line in done.out.splitlines()]
    assert [messages[0]["type"], messages[-1]["type"]] == ["ready", "closed"]
    assert messages[-1]["reason"] == "client"
    assert messages[-1]["totals"]["windows"] == len(messages) - 2 > 0
    assert live.http.get("/v1/sessions").json()["sessions"] == []


def _first_slices(recording: Path, count: int) -> bytes:
    data = recording.read_bytes()
    body = len(data) - 4000 * 20 * 8
    assert f"% Width {WIDTH}\n% Height {HEIGHT}".encode() in data[:body]
    return data[: body + count * 20 * 8]
