"""COCO annotations for recordings: scored times, boxes and classes, and rejected files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewatch.model.errors import DatasetError
from spikewatch.model.training.datasets.class_map import identity_map, match_classes
from spikewatch.model.training.datasets.coco_recordings import read_coco_recordings
from spikewatch.model.training.datasets.detect_kind import dataset_kind
from spikewatch.model.training.datasets.protocol import PROTOCOLS

SENSOR = (304, 240)
IMAGES = [
    {"id": 9, "file_name": "b_td.dat", "t_us": 300_000},
    {"id": 4, "file_name": "sub/a.raw", "t_us": 900_000, "width": 304, "height": 240},
    {"id": 5, "file_name": "sub/a.raw", "timestamp": 600_000, "width": 304, "height": 240},
]
ANNOTATIONS = [
    {"id": 1, "image_id": 4, "category_id": 7, "bbox": [290, 10, 30, 40], "iscrowd": 1},
    {"id": 2, "image_id": 4, "category_id": 2, "bbox": [5, 5, 20, 30], "area": 100},
    {"id": 3, "image_id": 5, "category_id": 7, "bbox": [310, 10, 30, 40]},
]


def annotate(folder: Path, **changed: Any) -> Path:
    data = {"categories": [{"id": 7, "name": "car"}, {"id": 2, "name": "cat"}]}
    path = folder / "boxes.json"
    path.write_text(json.dumps(data | {"images": IMAGES, "annotations": ANNOTATIONS} | changed))
    for name in ("b_td.dat", "sub/a.raw"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return path


def test_times_boxes_and_classes_are_read(tmp_path: Path) -> None:
    path = annotate(tmp_path)
    assert dataset_kind(path) == "coco_recordings"
    found = read_coco_recordings(path)
    assert found.categories.names == ("cat", "car")
    first, second = found.recordings
    assert (first.events, first.sensor_size) == (tmp_path / "sub/a.raw", SENSOR)
    assert (second.events, second.sensor_size) == (tmp_path / "b_td.dat", None)
    moments = first.labelled_frames(SENSOR, PROTOCOLS["none"], identity_map(("cat", "car")))
    assert [(m.t_us, m.image_id, len(m.ground_truth)) for m in moments] == [(600_000, 5, 0), (900_000, 4, 2)]
    truth = moments[1].ground_truth
    np.testing.assert_array_equal(truth.xywh, [[290, 10, 14, 40], [5, 5, 20, 30]])
    np.testing.assert_array_equal(truth.area, [14 * 40, 100])
    np.testing.assert_array_equal(truth.class_id, [1, 0])
    np.testing.assert_array_equal(truth.crowd, [True, False])


def test_folder_kind_depends_on_image_times(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    val = annotate(tmp_path).rename(tmp_path / "annotations" / "instances_val.json")
    assert dataset_kind(tmp_path) == "coco_recordings"
    val.write_text(json.dumps({"images": [{"id": 1, "file_name": "a.png"}]}))
    assert dataset_kind(tmp_path) == "coco"
    val.write_text("{")
    with pytest.raises(DatasetError, match=r"instances_val\.json: not COCO annotations"):
        dataset_kind(tmp_path)


def test_protocol_and_classes_are_applied(tmp_path: Path) -> None:
    first, second = read_coco_recordings(annotate(tmp_path)).recordings
    cats = match_classes(("cat", "car"), ("cat",))
    assert [len(m.ground_truth) for m in first.labelled_frames(SENSOR, PROTOCOLS["none"], cats)] == [0, 1]
    assert [len(m.ground_truth) for m in first.labelled_frames(SENSOR, PROTOCOLS["1mpx"], cats)] == [0, 0]
    assert [m.t_us for m in second.labelled_frames(SENSOR, PROTOCOLS["none"], cats)] == [300_000]
    assert second.labelled_frames(SENSOR, PROTOCOLS["gen1"], cats) == [], "before half a second"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": [{"id": 1, "file_name": "b_td.dat"}]}, "image 1: no time; expected t_us or timestamp"),
        ({"images": [IMAGES[0] | {"t_us": 0.5}]}, "t_us is 0.5, expected whole microseconds"),
        ({"images": [IMAGES[0] | {"t_us": 1 << 61}]}, "expected whole microseconds"),
        ({"images": [IMAGES[0] | {"t_us": float("inf")}]}, "not COCO annotations"),
        ({"images": [IMAGES[0], IMAGES[0] | {"id": 2}]}, "two images of b_td.dat have the same time"),
        ({"images": [*IMAGES[1:], IMAGES[1] | {"id": 2, "t_us": 1, "width": 9}]}, "differ in size"),
        ({"images": [IMAGES[0] | {"file_name": "c.raw"}]}, "c.raw: missing; 1 of 1 recordings"),
        ({"images": []}, "names no images"),
        ({"annotations": [{"id": 1}]}, "not COCO annotations"),
        ({"categories": 3}, "not COCO annotations"),
    ],
)
def test_damaged_annotations_are_rejected(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        read_coco_recordings(annotate(tmp_path, **changed))
