"""The command line, as a user runs it: exit status, output, files."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import pytest

from spikewatch.ingest.open import open_recording
from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from tests.service.support.console import Done
from tests.service.support.live import (
    HEIGHT,
    WIDTH,
    Live,
    backwards,
    comparable,
    dat_file,
    dat_stream,
    upload,
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "street_td.dat"
    path.write_bytes(dat_file(10))
    return path


@pytest.fixture(scope="module")
def weights(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "small.safetensors"
    save_checkpoint(path, detector.network, detector.spec)
    return path


def test_detect_writes_every_format_and_says_untrained(
    live: Live, recording: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    outs = {ending: tmp_path / f"r{ending}" for ending in (".ndjson", ".json", ".npy", ".mp4")}
    options = [x for path in outs.values() for x in ("--video" if path.suffix == ".mp4" else "--out", path)]
    done = run("detect", recording, "--weights", weights, "--confidence", 0.001, *options)
    assert done.status == 0, done.err
    assert "untrained" in done.out
    assert "3,000" in done.out

    *windows, last = (json.loads(line) for line in outs[".ndjson"].read_text().splitlines())
    expected, summary = upload(live, recording.read_bytes(), confidence=0.001)
    assert comparable(windows) == comparable(expected)
    assert last["summary"] == summary

    whole = json.loads(outs[".json"].read_text())
    assert comparable(whole["windows"]) == comparable(windows)
    assert whole["summary"] == last["summary"]

    boxes = np.load(outs[".npy"])
    assert boxes.dtype.itemsize == 40
    assert len(boxes) == sum(len(w["detections"]) for w in windows) > 0
    assert boxes["t"].tolist() == [w["t_end_us"] for w in windows for _ in w["detections"]]
    assert boxes["x"][0] == np.float32(windows[0]["detections"][0]["x"])

    with av.open(str(outs[".mp4"])) as video:
        assert len(list(video.decode(video=0))) == 10
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in outs.values()}


def test_binary_spikes_give_the_same_windows(
    recording: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    windows = {}
    for mode in ("integer", "spike"):
        out = tmp_path / f"{mode}.ndjson"
        options = ["--weights", weights, "--confidence", 0.001, "--out", out, "--mode", mode]
        assert run("detect", recording, *options).status == 0
        windows[mode] = comparable([json.loads(line) for line in out.read_text().splitlines()[:-1]])
    assert windows["integer"] == windows["spike"]
    assert len(windows["spike"]) == 3


def test_detect_equals_service_across_a_restart(
    live: Live, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    path, out = tmp_path / "restart.dat", tmp_path / "r.ndjson"
    path.write_bytes(dat_file(0) + backwards(20) + dat_stream(12, seed=1))
    done = run("detect", path, "--weights", weights, "--out", out)
    assert done.status == 0, done.err
    *windows, last = (json.loads(line) for line in out.read_text().splitlines())
    expected, summary = upload(live, path.read_bytes())
    assert comparable(windows) == comparable(expected)
    assert last["summary"] == summary
    assert summary["discontinuities"] == 1
    assert "jumps in time" in done.out


def test_numbers_are_rounded_to_what_they_can_mean(
    recording: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    out = tmp_path / "r.json"
    run("detect", recording, "--weights", weights, "--out", out, "--confidence", 0.001)
    boxes = [box for window in json.loads(out.read_text())["windows"] for box in window["detections"]]
    assert boxes
    for box in boxes:
        assert all(box[side] == round(box[side], 1) for side in "xywh")
        assert box["confidence"] == round(box["confidence"], 3)


def test_warnings_are_printed_and_written(weights: Path, tmp_path: Path, run: Callable[..., Done]) -> None:
    path = tmp_path / "unsized.dat"
    path.write_bytes(b"% Version 2\n\x00\x08" + dat_stream(4))
    size = ("--width", WIDTH // 4, "--height", HEIGHT // 4)
    for command in (("info", path, "--json", *size), ("detect", path, "--json", "--weights", weights, *size)):
        done = run(*command)
        (warning,) = json.loads(done.out)["warnings"]
        assert warning.endswith("check the sensor size")
        assert f"spikewatch: warning: {warning}" in done.err


@pytest.mark.parametrize(
    "command",
    ["info", pytest.param("detect", marks=pytest.mark.slow), pytest.param("energy", marks=pytest.mark.slow)],
)
def test_recording_from_standard_input(recording: Path, weights: Path, command: str) -> None:
    options = ["--json"] if command == "info" else ["--json", "--weights", str(weights)]
    done = subprocess.run(
        [sys.executable, "-m", "spikewatch", command, "-", *options],
        input=recording.read_bytes(),
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout).get("events", 3000) == 3000


def test_table_gives_the_windows_of_the_recording_it_holds(
    recording: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    with open_recording(recording) as opened:
        events = np.concatenate(list(opened.chunks()))
    table = tmp_path / "events.csv"
    rows = np.stack([events["x"], events["y"], events["t"] / 1e3, events["p"]], axis=1)
    np.savetxt(table, rows, fmt=("%d", "%d", "%.3f", "%d"), delimiter=",")
    columns = ["--columns", "x,y,t,p", "--time-unit", "ms"]
    windows = {}
    for source, options in ((recording, []), (table, [*columns, "--width", WIDTH, "--height", HEIGHT])):
        out = tmp_path / f"{source.stem}.ndjson"
        done = run("detect", source, "--weights", weights, "--confidence", 0.001, "--out", out, *options)
        assert done.status == 0, done.err
        windows[source] = [json.loads(line) for line in out.read_text().splitlines()[:-1]]
    assert comparable(windows[recording]) == comparable(windows[table])


def test_size_is_checked_before_weights_are_loaded(
    tmp_path: Path, run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "unsized.dat"
    path.write_bytes(b"% Version 2\n\x00\x08" + dat_stream(4))
    for module, load in (("detect", "load_array_detector"), ("energy", "load_detector")):
        monkeypatch.setattr(f"spikewatch.service.cli.actions.{module}.{load}", None)
        done = run(module, path)
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert "pass --width and --height" in done.err


def test_completion_is_printed() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("spikewatch")],
        env=os.environ
        | {"_SPIKEWATCH_COMPLETE": "complete_bash", "COMP_WORDS": "spikewatch det", "COMP_CWORD": "1"},
        capture_output=True,
        timeout=100,
        text=True,
    )
    assert done.stdout.split() == ["detect"]


def test_info_as_json(recording: Path, run: Callable[..., Done]) -> None:
    done = run("info", recording, "--json")
    facts = json.loads(done.out)
    assert facts.keys() == {
        *("format", "width", "height", "events", "t_first_us", "t_last_us", "duration_us", "dropped"),
        "warnings",
    }
    assert (facts["format"], facts["width"], facts["height"], facts["events"]) == ("dat", WIDTH, HEIGHT, 3000)


def test_stream_plays_to_a_service(live: Live, recording: Path, run: Callable[..., Done]) -> None:
    done = run("stream", recording, "--url", live.url, "--speed", 0, "--policy", "block", "--json")
    assert done.status == 0, done.err
    messages = [json.loads(line) for line in done.out.splitlines()]
    assert [m["type"] for m in messages] == ["ready", "window", "window", "window", "closed"]
    windows = [m for m in messages if m["type"] == "window"]
    assert comparable(windows) == comparable(upload(live, recording.read_bytes())[0])


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["detect"], 2, "Missing argument"),
        (["detect", "{good}", "--out", "x.avi"], 2, "the ending must be one of"),
        (["detect", "{good}", "--out", "/nowhere/x.json"], 2, "there is no folder /nowhere"),
        (["detect", "{good}", "--confidence", "7"], 2, "confidence"),
        (["detect", "{good}", "--width", "10"], 2, "--width and --height come together"),
        (["detect", "/nowhere/x.dat"], 1, "/nowhere/x.dat: No such file or directory"),
        (["info", "/tmp"], 1, "is a directory"),
        (["info", "{empty}"], 1, "the file is empty"),
        (["detect", "{unsized}"], 1, "pass --width and --height"),
        (
            ["detect", "{good}", "--weights", "nope"],
            1,
            "known names: spikewatch-t-sim, spikewatch-t, untrained",
        ),
        (["detect", "{good}", "--device", "tpu"], 2, "--device tpu"),
        (["detect", "{good}", "--stream", "1"], 1, "dat has one stream of events"),
        (["info", "{lfs}"], 1, "a Git LFS pointer, not the recording; run: git lfs pull"),
        (["detect", "{off}", "--width", "10", "--height", "10"], 1, "no event can be used"),
        (["export", "--format", "onnx"], 2, "Missing option '--out'"),
        (["init"], 2, "Missing option '--out'"),
        (["simulate"], 2, "Missing option '--out'"),
        (["detect", "{back}", "--out", "{tmp}/r.ndjson", "--on-time-jump", "fail"], 1, "disorder"),
        (["stream", "{good}", "--url", "http://127.0.0.1:9"], 1, "http://127.0.0.1:9"),
        (["serve", "--port", "99999"], 2, "port"),
    ],
)
def test_errors_are_one_clear_line(
    recording: Path, tmp_path: Path, run: Callable[..., Done], arguments: list[str], status: int, words: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "unsized").write_bytes(b"% Version 2\n\x00\x08" + dat_stream(1))
    (tmp_path / "back").write_bytes(dat_file(0) + backwards(20))
    (tmp_path / "lfs").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "off").write_bytes(b"% Version 2\n\x00\x08" + struct.pack("<II", 5, 20) * 9)
    places = {name: tmp_path / name for name in ("empty", "unsized", "back", "lfs", "off")}
    done = run(*(a.format(good=recording, tmp=tmp_path, **places) for a in arguments))
    assert (done.status, "Traceback" in done.err) == (status, False), done.err
    assert words in " ".join(done.err.replace("│", " ").split())
    if status == 1:
        assert len(done.err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("*r.ndjson*"))


def test_version_is_printed_without_importing_torch() -> None:
    code = "import sys; from spikewatch.service.cli.main import main; " + (
        "sys.argv = ['spikewatch', '--version']\ntry: main()\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"spikewatch {version('spikewatch')}\nFalse\n"


def test_the_console_script_is_installed(recording: Path) -> None:
    script = Path(sys.executable).with_name("spikewatch")
    done = subprocess.run([script, "info", recording, "--json"], capture_output=True, check=True, timeout=240)
    assert json.loads(done.stdout)["events"] == 3000
