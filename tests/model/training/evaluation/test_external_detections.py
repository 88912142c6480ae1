"""Detections of other systems: files are matched to recordings, and damaged files are rejected."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewatch.model.errors import DatasetError
from spikewatch.model.training.datasets.coco_images import Categories
from spikewatch.model.training.datasets.prophesee import PropheseeRecording
from spikewatch.model.training.evaluation.external_detections import boxes_at, read_coco_results, read_npy
from tests.model.training.support.fakes import boxes_at as some_boxes

CATEGORIES = Categories(("cat", "car"), {2: 0, 7: 1})
RECORDINGS = [PropheseeRecording(Path(f"{name}"), Path("x")) for name in ("a_td.dat", "b.h5", "c_td.h5")]


def save(folder: Path, *names: str) -> None:
    for k, name in enumerate(names):
        np.save(folder / name, some_boxes([5 + k, 3]))


def test_files_are_matched_to_recordings_by_name(tmp_path: Path) -> None:
    save(tmp_path, "b.npy", "a_bbox.npy", "c_td.npy")
    found = read_npy(tmp_path, RECORDINGS, RECORDINGS, 2)
    assert [boxes["t"].tolist() for boxes in found] == [[3, 6], [3, 5], [3, 7]]
    some = read_npy(tmp_path, RECORDINGS[:1], RECORDINGS, 2)
    assert [boxes["t"].tolist() for boxes in some] == [[3, 6]], "files for the rest of the split may be there"
    one = read_npy(tmp_path / "b.npy", RECORDINGS[:1], RECORDINGS[:1], 2)
    assert one[0]["t"].tolist() == [3, 5]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("a.npy", "b.npy"), r"c\.npy: missing; 1 of 3 files"),
        (
            ("a.npy", "b.npy", "c.npy", "d.npy"),
            r"d\.npy: no such recording in the split; 1 of 4 files",
        ),
        (("a.npy", "a_bbox.npy"), r"a\.npy and a_bbox\.npy are for one recording"),
    ],
)
def test_missing_and_extra_files_are_rejected(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    save(tmp_path, *names)
    with pytest.raises(DatasetError, match=words):
        read_npy(tmp_path, RECORDINGS, RECORDINGS, 2)
    with pytest.raises(DatasetError, match="one file, but 3 recordings"):
        read_npy(tmp_path / "a.npy", RECORDINGS, RECORDINGS, 2)


def test_missing_folder_raises_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_npy(tmp_path / "none", RECORDINGS, RECORDINGS, 2)


def test_results_become_boxes_at_image_times(tmp_path: Path) -> None:
    rows = [
        {"image_id": 4, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 9, "category_id": 2, "bbox": [5, 6, 7, 8], "score": 0.25, "segmentation": []},
        {"image_id": 4, "category_id": 2, "bbox": [9, 8, 7, 6], "score": 0.75},
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows))
    found = read_coco_results(path, CATEGORIES, frozenset({4, 9, 11}))
    assert sorted(found) == [4, 9]
    boxes = boxes_at({4: 800, 11: 900, 9: 700}, found)
    assert boxes["t"].tolist() == [700, 800, 800]
    assert boxes["class_id"].tolist() == [0, 1, 0]
    assert boxes["class_confidence"].tolist() == [0.25, 0.5, 0.75]
    assert boxes["x"].tolist() == [5, 1, 9]
    path.write_text("[]")
    assert read_coco_results(path, CATEGORIES, frozenset({4})) == {}


GOOD = {"image_id": 4, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ({"annotations": []}, "expected a list of objects with image_id, category_id, bbox, score"),
        ([{"image_id": 4}], "expected a list of objects"),
        ([GOOD, GOOD | {"image_id": 5}], "image_id 5 is not in the data set; 1 of 2 rows"),
        ([GOOD | {"image_id": [4]}], r"image_id \[4\] is not in the data set"),
        ([GOOD | {"category_id": 1}], "category_id 1 is not in the data set"),
        ([GOOD | {"bbox": [1, 2, 3]}], "a bbox is not four numbers"),
        ([GOOD | {"bbox": 5}], "a bbox is not four numbers"),
        ([GOOD | {"score": "high"}], "or a score not one"),
        ([GOOD | {"score": float("nan")}], "a bbox or score is not finite"),
    ],
)
def test_damaged_results_are_rejected(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DatasetError, match=words):
        read_coco_results(path, CATEGORIES, frozenset({4}))
