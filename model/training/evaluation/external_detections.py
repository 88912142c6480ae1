"""Detections of other systems, from files: COCO results, or `.npy` in Prophesee's format by recording."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikewatch.model.detections import Detections
from spikewatch.model.errors import DatasetError
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes, to_prophesee
from spikewatch.model.training.datasets.coco_images import Categories
from spikewatch.model.training.datasets.labelled_recording import LabelledRecording
from spikewatch.model.training.datasets.prophesee import recording_stem
from spikewatch.model.training.datasets.prophesee_labels import read_labels

NAME_SUFFIXES = ("_bbox", "_td", "")
"""Suffixes between a recording's name and .npy."""

RESULT_FIELDS = ("image_id", "category_id", "bbox", "score")
"""Required fields of each row of a COCO results file."""


def read_npy(
    path: Path, recordings: Sequence[LabelledRecording], split: Sequence[LabelledRecording], classes: int
) -> list[PropheseeBoxes]:
    """Read the detections of each recording in order of time, with the class ids of the data set.

    Args:
        path: a folder of `NAME.npy`, `NAME_td.npy` or `NAME_bbox.npy`, or a single file for one recording.
        recordings: recordings to score.
        split: all recordings of the split, for which the folder may have files.
        classes: number of classes of the data set.

    Raises:
        DatasetError: a file is missing or damaged, or belongs to no recording of the split.
        OSError: the path cannot be read.
    """
    if path.is_file():
        if len(recordings) > 1:
            raise DatasetError(f"{path}: one file, but {len(recordings)} recordings; pass a folder of files")
        return [read_labels(path, classes)]
    files: dict[str, Path] = {}
    for file in sorted(child for child in path.iterdir() if child.suffix == ".npy"):
        name = file.stem.removesuffix(next(suffix for suffix in NAME_SUFFIXES if file.stem.endswith(suffix)))
        if name in files:
            raise DatasetError(f"{path}: {files[name].name} and {file.name} are for one recording; keep one")
        files[name] = file
    names = [recording_stem(recording.events.name) for recording in recordings]
    extra = sorted(files.keys() - {recording_stem(recording.events.name) for recording in split})
    missing = [name for name in names if name not in files]
    if missing:
        raise DatasetError(
            f"{path / missing[0]}.npy: missing; {len(missing)} of {len(names)} files are missing"
        )
    if extra:
        raise DatasetError(
            f"{files[extra[0]]}: no such recording in the split; {len(extra)} of {len(files)} files belong "
            "to no recording"
        )
    return [read_labels(files[name], classes) for name in names]


def read_coco_results(path: Path, categories: Categories, image_ids: frozenset[int]) -> dict[int, Detections]:
    """Read image id -> detections in the order of the file, with contiguous class ids.

    Images without detections are omitted.

    Raises:
        DatasetError: the file has no COCO results, or has images or categories that the data set lacks.
        OSError: the file cannot be read.
    """
    try:
        rows = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not JSON ({error})") from error
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and row.keys() >= set(RESULT_FIELDS) for row in rows
    ):
        raise DatasetError(
            f"{path}: expected a list of objects with {', '.join(RESULT_FIELDS)} (COCO results)"
        )
    for field, known in (("image_id", image_ids), ("category_id", categories.category_to_class.keys())):
        unknown = [row[field] for row in rows if not isinstance(row[field], int) or row[field] not in known]
        if unknown:
            raise DatasetError(
                f"{path}: {field} {unknown[0]!r} is not in the data set; {len(unknown)} of {len(rows)} rows "
                f"have an unknown {field}"
            )
    by_image: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_image.setdefault(row["image_id"], []).append(row)
    return {image: _parse_detections(path, group, categories) for image, group in by_image.items()}


def _parse_detections(path: Path, rows: Sequence[dict[str, Any]], categories: Categories) -> Detections:
    try:
        xywh = np.array([row["bbox"] for row in rows], np.float32).reshape(len(rows), 4)
        score = np.array([row["score"] for row in rows], np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise DatasetError(f"{path}: a bbox is not four numbers, or a score not one ({error})") from error
    if not (np.isfinite(xywh).all() and np.isfinite(score).all()):
        raise DatasetError(f"{path}: a bbox or score is not finite, expected numbers without NaN or infinity")
    class_id = np.array([categories.category_to_class[row["category_id"]] for row in rows], np.int64)
    return Detections(xywh, score, class_id, 0)


def boxes_at(times_us: Mapping[int, int], detections: Mapping[int, Detections]) -> PropheseeBoxes:
    """Convert detections of images to boxes of one recording, in order of time.

    Args:
        times_us: image id -> time, for the images of the recording.
        detections: image id -> detections.
    """
    parts = [
        to_prophesee(Detections(boxes.xywh, boxes.confidence, boxes.class_id, t_us))
        for t_us, boxes in sorted(
            ((t_us, detections[image]) for image, t_us in times_us.items() if image in detections),
            key=lambda pair: pair[0],
        )
    ]
    return np.concatenate([np.zeros(0, BBOX_DTYPE), *parts])
