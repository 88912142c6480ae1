"""Targets of labels and of detections of other programs: Prophesee's `*.npy` and COCO's JSON."""

import contextlib
from pathlib import Path

from benchmarks.fuzz.targets import Target
from benchmarks.fuzz.targets.files import with_file
from spikewatch.model.errors import DatasetError
from spikewatch.model.training.datasets.coco_images import (
    Categories,
    ground_truth_by_image,
    parse_annotations,
)
from spikewatch.model.training.datasets.prophesee_labels import crop_boxes, read_labels, read_times
from spikewatch.model.training.evaluation.external_detections import read_coco_results

CLASSES = 2


def npy_labels() -> Target:
    """Return the target of `*_bbox.npy` and `*_times.npy`."""

    def read(path: Path) -> None:
        try:
            boxes = read_labels(path, CLASSES)
            kept = crop_boxes(boxes, 304, 240)
            assert len(kept) <= len(boxes)
        except DatasetError:
            pass
        with contextlib.suppress(DatasetError):
            read_times(path)

    return with_file(read)


def coco() -> Target:
    """Return the target of COCO annotations and COCO results."""
    categories = Categories(("car", "pedestrian"), {1: 0, 2: 1})

    def read(path: Path) -> None:
        with contextlib.suppress(DatasetError):
            read_coco_results(path, categories, frozenset({1, 2, 3}))
        with contextlib.suppress(DatasetError):
            parse_annotations(path, _ground_truth)

    return with_file(read)


def _ground_truth(data: dict[str, object]) -> None:
    of_image = ground_truth_by_image(data, Categories.from_annotations(data))
    for image_id in range(4):
        of_image(image_id)
