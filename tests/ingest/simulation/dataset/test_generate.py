"""Campaigns on a film of boxes, in real processes."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikewatch.atomic_file import atomic_write
from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.events import empty_events
from spikewatch.ingest.formats.dat import encode_dat
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.simulation.dataset.generate import check_options
from spikewatch.ingest.simulation.dataset.job import FilmFactory, RecordingJob, recording_config, run_job
from spikewatch.ingest.simulation.dataset.layout import (
    SPLITS,
    encode_dat_header,
    exclusive_writer,
    recording_paths,
)
from spikewatch.ingest.simulation.dataset.recorder import Timing
from tests.ingest.simulation.support.dataset_runs import OPTIONS, run
from tests.ingest.simulation.support.fake_film import FakeFilm, die_at_roadside, refuse_roadside

ROOT = Path(__file__).parents[4]
ROADSIDE = {1, 5}
"""Of the first six recordings of OPTIONS."""


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dataset")
    result, progress = run(out)
    assert (len(result.summaries), result.skipped, result.failed) == (6, 0, ())
    assert progress == sorted(progress)
    assert progress[-1] == 1
    return out


def test_dataset_layout_follows_gen1(made: Path) -> None:
    files = sorted(name for name in contents(made) if name != "simulation.json")
    scenario = ["roadside" if index in ROADSIDE else "driving" for index in range(6)]
    names = [f"{SPLITS[index]}/{index:05d}_{scenario[index]}" for index in range(6)]
    assert files == sorted(name + end for name in names for end in ("_td.dat", "_bbox.npy", "_times.npy"))


def test_worker_and_recording_count_keep_bytes(made: Path, tmp_path: Path) -> None:
    run(tmp_path, workers=1, recordings=3)
    result, _ = run(tmp_path, workers=1)
    assert result.skipped == 3
    assert contents(tmp_path) == contents(made)


def test_other_seed_gives_other_recordings(made: Path) -> None:
    first, other = (
        recording_config(RecordingJob(made, 0, options)) for options in (OPTIONS, replace(OPTIONS, seed=4))
    )
    assert first.film_config.seed != other.film_config.seed
    assert first.camera_settings != other.camera_settings
    seeds = {recording_config(RecordingJob(made, index, OPTIONS)).film_config.seed for index in range(500)}
    assert len(seeds) == 500
    driving = sum(
        recording_config(RecordingJob(made, index, OPTIONS)).film_config.scenario == "driving"
        for index in range(500)
    )
    assert 0.5 < driving / 500 < 0.7


def test_generated_recordings_are_readable(made: Path) -> None:
    report = json.loads((made / "simulation.json").read_text())
    for facts in report["recordings"]:
        path = made / (facts["name"] + "_td.dat")
        assert path.read_bytes().startswith(b"% Data file containing simulated events\n")
        with open_recording(path) as recording:
            info = recording.info()
        assert (info.format, info.width, info.height) == ("dat", 96, 64)
        assert (info.events, info.dropped) == (facts["events"], {})
        boxes = np.load(made / (facts["name"] + "_bbox.npy"))
        assert facts["boxes"] == {
            "car": (boxes["class_id"] == 0).sum(),
            "pedestrian": (boxes["class_id"] == 1).sum(),
        }
        assert len(boxes) == 12
        times_us = np.load(made / (facts["name"] + "_times.npy"))
        assert times_us.tolist() == [
            round(k * 1e6 / OPTIONS.timing.label_hz) for k in range(1, len(times_us) + 1)
        ]
        assert set(boxes["t"]) <= set(times_us)
        assert facts["events"] > 1000


def test_report_has_options_and_versions(made: Path) -> None:
    report = json.loads((made / "simulation.json").read_text())
    assert report["options"] == {
        "seed": 3,
        "scenario": "mixed",
        "seconds": 0.3,
        "fps": 100.0,
        "label-hz": 20.0,
        "width": 96,
        "height": 64,
        "meshes": None,
    }
    assert report["versions"]["numpy"] == np.__version__
    assert report["licences"] == []
    first = report["recordings"][0]
    assert first["seed"] == recording_config(RecordingJob(made, 0, OPTIONS)).film_config.seed
    assert (
        first["camera"]["on_threshold"]
        == recording_config(RecordingJob(made, 0, OPTIONS)).camera_settings.on_threshold
    )


def test_stopped_generation_resumes(made: Path, tmp_path: Path) -> None:
    run(tmp_path, recordings=3, film_factory=refuse_roadside)
    (tmp_path / "test" / "00002_driving_bbox.npy").unlink()
    partial = tmp_path / "train" / ".00003_driving_td.dat.77.part"
    partial.write_bytes(b"half")
    kept = (tmp_path / "train" / "00000_driving_td.dat").stat().st_mtime_ns
    result, progress = run(tmp_path)
    assert result.skipped == 1
    assert progress[-1] == 1
    assert (tmp_path / "train" / "00000_driving_td.dat").stat().st_mtime_ns == kept
    assert contents(tmp_path) == contents(made)
    assert run(tmp_path)[0].skipped == 6
    assert len(run(tmp_path, recordings=2)[0].summaries) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "has recordings with seed 3, not 4"),
        ({"scenario": "driving"}, "with scenario mixed, not driving"),
        ({"timing": Timing(0.3, label_hz=10)}, "with label-hz 20.0, not 10"),
        ({"width": 100}, "with width 96, not 100"),
    ],
)
def test_resume_with_other_options_is_rejected(made: Path, change: dict[str, object], message: str) -> None:
    before = contents(made)
    with pytest.raises(SimulationError, match=message):
        run(made, options=replace(OPTIONS, **change))
    assert contents(made) == before


def test_mesh_digest_depends_on_content(tmp_path: Path) -> None:
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    with_meshes = replace(OPTIONS, meshes=meshes)
    with pytest.raises(SimulationError, match="no meshes"):
        run(tmp_path / "out", options=with_meshes)
    (meshes / "car.npz").write_bytes(b"one")
    run(tmp_path / "out", 1, options=with_meshes)
    report = json.loads((tmp_path / "out" / "simulation.json").read_text())
    assert [entry["licence"] for entry in report["licences"]] == ["CC BY 3.0", "Apache-2.0; data CC0"]
    assert str(tmp_path) not in json.dumps(report)
    moved = meshes.rename(tmp_path / "elsewhere")
    assert run(tmp_path / "out", 1, options=replace(OPTIONS, meshes=moved))[0].skipped == 1
    (moved / "car.npz").write_bytes(b"two")
    with pytest.raises(SimulationError, match="has recordings with meshes"):
        run(tmp_path / "out", 1, options=replace(OPTIONS, meshes=moved))


@pytest.mark.parametrize("report", ["{", "[]", '{"options": {}, "versions": {}, "recordings": [1]}'])
def test_invalid_report_is_rejected(tmp_path: Path, report: str) -> None:
    (tmp_path / "simulation.json").write_text(report)
    with pytest.raises(SimulationError, match="is not a simulation report"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("film_factory", "reason"),
    [(refuse_roadside, "no road here"), (die_at_roadside, "its process ended with exit status -9")],
)
def test_failure_loses_only_one_recording(
    made: Path, tmp_path: Path, film_factory: FilmFactory, reason: str
) -> None:
    result, progress = run(tmp_path, film_factory=film_factory)
    assert {entry.job.index: entry.reason for entry in result.failed} == dict.fromkeys(ROADSIDE, reason)
    assert {entry["index"] for entry in result.summaries} == set(range(6)) - ROADSIDE
    assert progress[-1] == 1
    expected = {name for name in contents(made) if "roadside" not in name}
    assert contents(tmp_path).keys() == expected


def test_failing_film_is_closed_and_leaves_no_file(tmp_path: Path) -> None:
    films: list[FakeFilm] = []

    def breaking(plan: object) -> FakeFilm:
        films.append(FakeFilm(recording_config(RecordingJob(tmp_path, 0, OPTIONS)).film_config, actors=()))
        films[0].ids = lambda t_s: 1 // 0  # type: ignore[assignment, return-value]
        return films[0]

    with pytest.raises(ZeroDivisionError):
        run_job(RecordingJob(tmp_path, 0, OPTIONS), lambda share: None, breaking)
    assert contents(tmp_path) == {}
    assert films[0].closed


def test_ctrl_c_leaves_only_whole_files(tmp_path: Path) -> None:
    """Interrupted as a terminal does it: the signal goes to parent and children alike."""
    script = tmp_path / "script.py"
    script.write_text(f"""
from dataclasses import replace
from pathlib import Path
from spikewatch.ingest.simulation.dataset.recorder import Timing
from tests.ingest.simulation.support.dataset_runs import OPTIONS, run
if __name__ == "__main__":
    run(Path({str(tmp_path)!r}), 40, options=replace(OPTIONS, timing=Timing(2.0)))
""")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, script], env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    report = tmp_path / "simulation.json"
    while not report.exists() or len(json.loads(report.read_text())["recordings"]) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode != 0
    assert errors.count("Traceback") == 1, errors
    assert "KeyboardInterrupt" in errors
    finished = {entry["name"] for entry in json.loads(report.read_text())["recordings"]}
    assert len(finished) >= 2
    assert not list(tmp_path.glob("*/.*"))
    for path in tmp_path.glob("*/*_td.dat"):
        with open_recording(path) as recording:
            assert recording.info().duration_us > 1_900_000
    for name in finished:
        assert len(np.load(tmp_path / (name + "_bbox.npy"))) > 40


def test_second_writer_is_rejected(tmp_path: Path) -> None:
    with exclusive_writer(tmp_path), pytest.raises(SimulationError, match="is locked by another run"):
        run(tmp_path)
    run(tmp_path, 1)


def test_workers_exit_after_generation(made: Path) -> None:
    assert multiprocessing.active_children() == []


def test_atomic_write_publishes_only_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    with pytest.raises(TypeError), atomic_write(path) as partial, partial.open("wb") as file:
        file.writelines([b"half", 1])  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []
    with atomic_write(path) as partial:
        partial.write_bytes(b"whole")
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"whole"]


def test_dat_encodes_largest_values(tmp_path: Path) -> None:
    events = empty_events(2)
    events["t"], events["x"], events["y"], events["p"] = [0, 4_199_999_999], [0, 2047], [2047, 3], [1, 0]
    path = tmp_path / "a_td.dat"
    path.write_bytes(encode_dat_header(2048, 2048) + encode_dat(events))
    with open_recording(path) as recording:
        assert (np.concatenate(list(recording.chunks())) == events).all()


def test_three_recordings_cover_all_splits(tmp_path: Path) -> None:
    folders = [recording_paths(tmp_path, index, "driving").folder.name for index in range(100)]
    assert set(folders[:3]) == {"train", "val", "test"}
    assert {name: folders.count(name) for name in folders} == {"train": 80, "val": 10, "test": 10}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenario": "flying"}, "scenario 'flying'; expected one of driving, roadside, mixed, made"),
        ({"seed": -1}, "seed -1; expected zero or more"),
        ({"width": 31}, "width 31; expected 32 to 2048 pixels"),
        ({"height": 2049}, "height 2049"),
        ({"timing": Timing(3601)}, "3601 s; a recording lasts at most 3600 s"),
        ({"timing": Timing(float("inf"))}, "inf s; a recording lasts"),
    ],
)
def test_options_out_of_bounds_are_rejected(change: dict[str, object], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        check_options(replace(OPTIONS, **change))
