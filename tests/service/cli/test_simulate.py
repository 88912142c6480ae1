"""`spikewatch simulate`, as a user runs it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer

from spikewatch.ingest.simulation.dataset.labels import BBOX_DTYPE
from spikewatch.model.prophesee_boxes import BBOX_DTYPE as PROPHESEES
from spikewatch.model.training.datasets.detect_kind import dataset_kind
from spikewatch.model.training.datasets.prophesee import find_recordings
from spikewatch.model.training.datasets.prophesee_labels import read_labels
from spikewatch.service.cli.actions.simulate import run_simulation
from spikewatch.service.cli.options.simulate import SimulateOptions
from tests.ingest.simulation.support.fake_film import make_fake, refuse_roadside
from tests.ingest.simulation.support.videos import write_video
from tests.service.support.console import Done


def options(out: Path, recordings: int, workers: int) -> SimulateOptions:
    return SimulateOptions(
        out=out, recordings=recordings, seconds=0.3, seed=3, width=96, height=64, workers=workers
    )


def test_labels_have_the_layout_that_training_reads() -> None:
    assert BBOX_DTYPE == PROPHESEES


def test_what_is_simulated_is_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "set"
    run_simulation(options(out, 3, 2), make_fake)
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "recordings 1 train, 1 val, 1 test" in words
    assert "boxes 18 car, 18 pedestrian" in words
    assert dataset_kind(out) == "prophesee"
    for split in ("train", "val", "test"):
        (recording,) = find_recordings(out, split)
        boxes = read_labels(recording.labels, 2)
        assert sorted(set(boxes["class_id"])) == [0, 1]
        assert sorted(set(boxes["t"])) == list(range(50_000, 300_001, 50_000))
        assert (boxes["class_confidence"] == 1).all()
        with recording.open() as opened:
            assert opened.sensor_size() == (96, 64)
            events = np.concatenate(list(opened.chunks()))
        assert events["t"].max() <= 300_000


def test_videos_become_a_data_set(tmp_path: Path, run: Callable[..., Done]) -> None:
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    for name in ("a", "b"):
        write_video(videos / f"{name}.mkv", frames=20)
    (tmp_path / "val.txt").write_text("b\n")
    arguments = (
        "--videos",
        videos,
        "--hold-out",
        tmp_path / "val.txt",
        "--recordings",
        "2",
        "--seconds",
        "0.3",
    )
    done = run("simulate", out, *arguments, "--width", "96", "--height", "64", "--workers", "1")
    assert done.status == 0, done.err
    words = " ".join(done.out.replace("│", " ").split())
    assert "recordings 1 train, 1 val, 0 test" in words
    assert "made from video" in words
    assert [p.name for p in sorted(out.rglob("*_td.dat"))] == ["00000_a_td.dat", "00001_b_td.dat"]
    assert dataset_kind(out) == "prophesee"


def test_a_failed_recording_is_told_with_its_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as stop:
        run_simulation(options(tmp_path, 2, 1), refuse_roadside)
    assert stop.value.exit_code == 1
    captured = capsys.readouterr()
    assert "spikewatch: recording 1 (film 15026093762826304708) failed: no road here\n" in captured.err
    assert "failed" in captured.out
    assert len(list(tmp_path.rglob("*_td.dat"))) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "Missing option '--out'"),
        (["{out}", "--recordings", "0"], 2, "--recordings"),
        (["{out}", "--seconds", "0"], 2, "0 s have no frame"),
        (["{out}", "--seconds", "5000"], 2, "5000 s; a recording lasts at most"),
        (["{out}", "--label-hz", "30"], 2, "pass a divisor of 100"),
        (["{out}", "--fps", "5"], 2, "expected 10 to 2000"),
        (["{out}", "--scenario", "sea"], 2, "'sea' is not one of"),
        (["{out}", "--width", "16"], 2, "--width"),
        (["{out}", "--seed", "-1"], 2, "--seed"),
        (["{out}", "--meshes", "/nowhere"], 2, "there is no folder /nowhere"),
        (["{out}", "--videos", "/nowhere"], 2, "--videos: there is no folder /nowhere"),
        (["{out}", "--videos", "{empty}"], 2, "no video with boxes; expected NAME.mp4"),
        (["{out}", "--videos", "{empty}", "--scenario", "made"], 2, "are for simulated scenes"),
        (["{out}", "--hold-out", "a"], 2, "it needs --videos DIR"),
        (["{out}", "--scenario", "made", "--width", "64"], 2, "expected both, or none"),
        (["{file}"], 2, "is a file; name a folder"),
        (["{out}", "--meshes", "{empty}"], 1, "no meshes (*.npz)"),
        (["{other}"], 1, "has recordings with seed 7, not 0"),
        (["/proc/simulated"], 1, "/proc/simulated: "),
    ],
)
def test_errors_are_one_clear_line(
    tmp_path: Path, run: Callable[..., Done], arguments: list[str], status: int, words: str
) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("empty", "other"):
        (tmp_path / folder).mkdir()
    report = {"options": {"seed": 7}, "versions": {"revision": 1}, "recordings": []}
    (tmp_path / "other" / "simulation.json").write_text(json.dumps(report))
    places = {name: tmp_path / name for name in ("out", "file", "empty", "other")}
    done = run("simulate", *(each.format(**places) for each in arguments))
    assert (done.status, "Traceback" in done.err) == (status, False), done.err
    assert words in " ".join(done.err.replace("│", " ").split())
    if status == 1:
        assert len(done.err.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*.dat"))


def test_the_command_makes_real_films(tmp_path: Path, run: Callable[..., Done]) -> None:
    pytest.importorskip("moderngl", reason="the extra `sim` is not installed")
    arguments = ["--seconds", 0.1, "--width", 96, "--height", 72, "--workers", 1, "--recordings", 2]
    done = run("simulate", tmp_path, *arguments)
    if "EGL" in done.err:
        pytest.skip(f"no EGL here: {done.err.strip()}")
    assert done.status == 0, done.err
    for facts in json.loads((tmp_path / "simulation.json").read_text())["recordings"]:
        assert facts["events"] > 0
        assert (tmp_path / (facts["name"] + "_td.dat")).stat().st_size > 8 * facts["events"]


def test_children_do_not_import_torch() -> None:
    """Which takes seconds and hundreds of megabytes in each."""
    modules = "sys, spikewatch.service.cli.main, spikewatch.ingest.simulation.dataset.workers"
    code = f"import {modules}; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "False\n"
