"""Data sets: labels and folders are read and filtered, and damaged ones are rejected."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewatch.model.errors import DatasetError
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes
from spikewatch.model.training.datasets.coco_images import read_coco
from spikewatch.model.training.datasets.detect_kind import dataset_kind
from spikewatch.model.training.datasets.prophesee import find_recordings
from spikewatch.model.training.datasets.prophesee_labels import (
    GEN1_FILTER,
    BoxFilter,
    crop_boxes,
    read_labels,
)

OLD_DTYPE = np.dtype(
    [
        ("ts", "<u8"),
        ("x", "<f4"),
        ("y", "<f4"),
        ("w", "<f4"),
        ("h", "<f4"),
        ("class_id", "u1"),
        ("confidence", "<f4"),
        ("track_id", "<u4"),
    ]
)


def labels() -> PropheseeBoxes:
    boxes = np.zeros(3, BBOX_DTYPE)
    for k, name in enumerate(BBOX_DTYPE.names or ()):
        boxes[name] = np.arange(3) + 10 * k
    boxes["t"] = [900_000, 600_000, 600_000]
    boxes["class_id"] = [0, 1, 0]
    return boxes


def test_legacy_field_names_give_the_same_boxes(tmp_path: Path) -> None:
    new, old = labels(), np.zeros(3, OLD_DTYPE)
    for name in BBOX_DTYPE.names or ():
        old[{"t": "ts", "class_confidence": "confidence"}.get(name, name)] = new[name]
    np.save(tmp_path / "new.npy", new)
    np.save(tmp_path / "old.npy", old)
    read = [read_labels(tmp_path / name, 2) for name in ("new.npy", "old.npy")]
    for boxes in read:
        assert boxes.dtype == BBOX_DTYPE
        for name in BBOX_DTYPE.names or ():
            np.testing.assert_array_equal(boxes[name], new[name][[1, 2, 0]])


def refused(case: str) -> Any:
    boxes = labels()
    if case == "class":
        boxes["class_id"] = 2
    if case == "nan":
        boxes["h"][1] = np.nan
    if case == "field":
        return boxes[["t", "x", "y", "w", "class_id"]]
    if case == "text":
        return boxes.astype([(n, "U5" if n == "x" else BBOX_DTYPE[n]) for n in BBOX_DTYPE.names or ()])
    return np.zeros((3, 5)) if case == "plain" else boxes


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("class", "class 2, but only 0 to 1 have names"),
        ("nan", "a box has a side, corner or confidence that is not a finite number"),
        ("field", "no numbers in a field h; expected t, x, .*, found t, x, y, w, class_id"),
        ("text", "no numbers in a field x"),
        ("plain", "expected a list of boxes"),
    ],
)
def test_damaged_labels_are_rejected(tmp_path: Path, case: str, words: str) -> None:
    path = tmp_path / "a_bbox.npy"
    np.save(path, refused(case))
    with pytest.raises(DatasetError, match=f"a_bbox.npy: {words}"):
        read_labels(path, 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"}", b" "),
        (b"'shape': (", b"'shape': (0"),
        (b"'shape': (", b"'shape': (9999999999999"),
        (b"'descr': [", b"'descr': ((["),
        (b"'fortran_order': False", b"'fortran_order': lambda:"),
        (b"'<i8'", b"'<q9'"),
        (b"'<i8'", b"{'a':1}"),
    ],
)
def test_damaged_header_of_labels_is_one_error(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "a_bbox.npy"
    np.save(path, np.zeros(3, BBOX_DTYPE))
    data = path.read_bytes()
    header, rows = data[10 : len(data) - 3 * 40], data[len(data) - 3 * 40 :]
    assert old in header
    damaged = header.replace(old, new, 1).rstrip().ljust(len(header) - 1)[: len(header) - 1] + b"\n"
    path.write_bytes(data[:10] + damaged + rows)
    with pytest.raises(
        DatasetError, match=r"a_bbox.npy: (not a NumPy file|no numbers|expected a list)"
    ) as error:
        read_labels(path, 2)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_other_files_are_rejected_as_labels(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a_bbox.npy"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="not a NumPy file of boxes"):
        read_labels(path, 2)


@pytest.mark.parametrize(
    ("t_us", "w", "h", "kept"),
    [
        (500_000, 50, 50, False),
        (500_001, 50, 50, True),
        (600_000, 18, 24, True),
        (600_000, 17.99, 24, False),
        (600_000, 10, 30, True),
        (600_000, 9.99, 90, False),
        (600_000, 90, 9.99, False),
    ],
)
def test_box_filter_at_its_limits(t_us: int, w: float, h: float, kept: bool) -> None:
    box = np.zeros(1, BBOX_DTYPE)
    box["t"], box["w"], box["h"] = t_us, w, h
    assert len(GEN1_FILTER.apply(box)) == kept
    assert len(BoxFilter(0, 0, 0).apply(box)) == 1


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_recordings_are_found_in_a_split_or_directly(tmp_path: Path) -> None:
    for split in ("test", "val"):
        for name in ("b", "a"):
            touch(tmp_path / split / f"{name}_td.dat", tmp_path / split / f"{name}_bbox.npy")
    found = find_recordings(tmp_path)
    assert [each.events.name for each in found] == ["a_td.dat", "b_td.dat"]
    assert found[0].labels == tmp_path / "test" / "a_bbox.npy"
    assert find_recordings(tmp_path / "val") == find_recordings(tmp_path, "val")
    assert dataset_kind(tmp_path) == dataset_kind(tmp_path / "val") == "prophesee"
    with pytest.raises(DatasetError, match=r"train: no recordings; splits here: test, val"):
        find_recordings(tmp_path, "train")
    (tmp_path / "test" / "b_bbox.npy").unlink()
    with pytest.raises(DatasetError, match=r"b_bbox.npy: missing; 1 of 2 recordings"):
        find_recordings(tmp_path)


@pytest.mark.parametrize("ending", ["_td.dat", "_td.h5", "_td.raw", ".h5", ".hdf5", ".raw", ".dat"])
def test_1_mpx_recordings_are_found(tmp_path: Path, ending: str) -> None:
    touch(tmp_path / "test" / f"moorea_000{ending}", tmp_path / "test" / "moorea_000_bbox.npy")
    assert dataset_kind(tmp_path) == "prophesee"
    (found,) = find_recordings(tmp_path)
    assert found.labels.name == "moorea_000_bbox.npy"
    touch(tmp_path / "test" / "moorea_000_td.hdf5")
    with pytest.raises(DatasetError, match=r"share moorea_000_bbox\.npy; keep one of them"):
        find_recordings(tmp_path)


def test_boxes_are_clipped_to_the_sensor() -> None:
    box = labels()[:1].repeat(5)
    box["x"], box["y"] = [-5, 100, 290, 304, 1], [-1, 50.1, 230, 5, -40]
    box["w"], box["h"] = 20, 33.3
    cut = crop_boxes(box, 304, 240)
    assert [cut[name].tolist() for name in "xywh"] == [
        [0, 100, 290],
        [0, np.float32(50.1), 230],
        [15, 20, 14],
        [np.float32(33.3) - 1, np.float32(33.3), 10],
    ]
    assert box["x"][0] == -5, "the argument stays as it was"


def test_times_out_of_range_are_rejected(tmp_path: Path) -> None:
    boxes = labels()
    boxes["t"][1] = 1 << 61
    np.save(tmp_path / "a_bbox.npy", boxes)
    with pytest.raises(DatasetError, match="us, expected at most"):
        read_labels(tmp_path / "a_bbox.npy", 2)


def coco(folder: Path, place: str = "images/val2017", **changed: Any) -> None:
    data: dict[str, Any] = {
        "categories": [{"id": 90, "name": "c"}, {"id": 1, "name": "a"}, {"id": 13, "name": "b"}],
        "images": [
            {"id": 7, "file_name": "7.png", "width": 97, "height": 61},
            {"id": 3, "file_name": "3.png", "width": 50, "height": 40},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 90, "bbox": [1, 2, 30, 40], "area": 700.5, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [5.5, 2, 3, 4], "area": 9, "iscrowd": 1},
        ],
    }
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(data | changed))
    touch(folder / place / "7.png", folder / place / "3.png")


@pytest.mark.parametrize("place", ["images/val2017", "val2017"])
def test_coco_is_read_with_contiguous_classes(tmp_path: Path, place: str) -> None:
    coco(tmp_path, place)
    assert dataset_kind(tmp_path) == "coco"
    images = read_coco(tmp_path)
    assert images.class_names == ("a", "b", "c")
    first, second = images.images
    assert (first.path, first.width, first.height, len(first.ground_truth)) == (
        tmp_path / place / "3.png",
        50,
        40,
        0,
    )
    np.testing.assert_array_equal(second.ground_truth.class_id, [2, 0])
    np.testing.assert_array_equal(second.ground_truth.area, [700.5, 9])
    np.testing.assert_array_equal(second.ground_truth.crowd, [False, True])
    np.testing.assert_array_equal(second.ground_truth.xywh, [[1, 2, 30, 40], [5.5, 2, 3, 4]])
    assert [each.path.name for each in read_coco(tmp_path, limit=1).images] == ["3.png"]


BAD_BOX = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3]}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": 3}, "not COCO annotations"),
        ({"images": [{"id": 1}]}, "not COCO annotations .*file_name"),
        ({"annotations": [BAD_BOX]}, "not COCO annotations"),
        ({"annotations": [BAD_BOX | {"bbox": [1, 2, 3, 4], "category_id": 2}]}, "not COCO annotations"),
        ({"annotations": [BAD_BOX | {"bbox": [1, 2, 3, float("nan")]}]}, "not four numbers"),
        (
            {"images": [{"id": 1, "file_name": "no.png", "width": 1, "height": 1}]},
            "no.png: missing; 1 of 1 images",
        ),
    ],
)
def test_damaged_annotations_are_rejected(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    coco(tmp_path, **changed)
    with pytest.raises(DatasetError, match=words):
        read_coco(tmp_path)


def test_missing_parts_of_a_data_set_are_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no data set; expected"):
        dataset_kind(tmp_path)
    with pytest.raises(FileNotFoundError):
        dataset_kind(tmp_path / "none")
    coco(tmp_path, "elsewhere")
    with pytest.raises(DatasetError, match="neither in images/val2017/ nor in val2017/"):
        read_coco(tmp_path)
    with pytest.raises(DatasetError, match="split 'train2017'; there are val2017"):
        read_coco(tmp_path, "train2017")
    (tmp_path / "annotations" / "instances_val2017.json").write_text("{")
    touch(tmp_path / "val2017" / "1.png")
    with pytest.raises(DatasetError, match="not COCO annotations"):
        read_coco(tmp_path)
