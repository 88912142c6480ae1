"""CSV, COCO and standard output, read by others' readers and compared with the NDJSON of the same run."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from tests.service.support.console import Done
from tests.service.support.live import HEIGHT, WIDTH, comparable, dat_file


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("writers") / "street_td.dat"
    path.write_bytes(dat_file(10))
    return path


@pytest.fixture(scope="module")
def weights(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("writers") / "small.safetensors"
    save_checkpoint(path, detector.network, detector.spec)
    return path


def test_csv_has_a_row_for_each_box(
    recording: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    rows, windows = tmp_path / "boxes.csv", tmp_path / "boxes.ndjson"
    options = ("--weights", weights, "--confidence", 0.001, "--track", "--out", rows, "--out", windows)
    done = run("detect", recording, *options)
    assert done.status == 0, done.err
    with rows.open(newline="") as file:
        read = list(csv.DictReader(file))
    *results, _summary = (json.loads(line) for line in windows.read_text().splitlines())
    expected = [
        {
            **{name: window[name] for name in ("seq", "t_start_us", "t_end_us")},
            "track_id": None,
            **box,
        }
        for window in results
        for box in window["detections"]
    ]
    assert len(expected) > 0
    assert read == [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in expected
    ]


def test_coco_file_is_read_by_a_coco_library(
    recording: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    coco_eval = pytest.importorskip("faster_coco_eval", reason="needs the extra eval")
    boxes, windows = tmp_path / "boxes.coco.json", tmp_path / "boxes.ndjson"
    done = run(
        *("detect", recording, "--weights", weights, "--confidence", 0.001),
        *("--out", boxes, "--out", windows),
    )
    assert done.status == 0, done.err
    *results, _summary = (json.loads(line) for line in windows.read_text().splitlines())
    coco = coco_eval.COCO(str(boxes))
    assert len(coco.getImgIds()) == len(results)
    for window in results:
        (image,) = (image for image in coco.imgs.values() if image["t_us"] == window["t_end_us"])
        assert (image["width"], image["height"]) == (WIDTH, HEIGHT)
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        labels = [coco.loadCats([box["category_id"]])[0]["name"] for box in found]
        assert labels == [box["label"] for box in window["detections"]]
        assert [box["bbox"] for box in found] == [[box[s] for s in "xywh"] for box in window["detections"]]
        assert [box["score"] for box in found] == [box["confidence"] for box in window["detections"]]
    assert sum(len(window["detections"]) for window in results) == len(coco.getAnnIds()) > 0


def test_results_on_standard_output_are_ndjson_alone(
    recording: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    windows = tmp_path / "boxes.ndjson"
    done = run("detect", recording, "--weights", weights, "--out", "-", "--out", windows)
    assert done.status == 0, done.err
    *printed, summary = map(json.loads, done.out.splitlines())
    *written, written_summary = map(json.loads, windows.read_text().splitlines())
    assert comparable(printed) == comparable(written)
    assert summary == written_summary
    assert "windows" in done.err
    assert run("detect", recording, "--weights", weights, "--out", "-", "--json").status == 2


def test_reader_that_leaves_ends_the_run_without_a_word(recording: Path, weights: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)  # as `| head` does, but certainly before the first line
    command = [sys.executable, "-m", "spikewatch", "detect", recording, "--weights", weights, "--out", "-"]
    try:
        done = subprocess.run(
            command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=300, check=False
        )
    finally:
        os.close(writing)
    assert done.returncode == 1
    assert done.stderr == ""
