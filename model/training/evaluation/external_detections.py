"""Detections of other systems, from files: `.npy` in Prophesee's layout by recording, or COCO results."""

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
"""What may follow a recording's name, before .npy."""

RESULT_FIELDS = ("image_id", "category_id", "bbox", "score")
"""Of each row of a COCO results file."""


def read_npy(
    path: Path, recordings: Sequence[LabelledRecording], split: Sequence[LabelledRecording], classes: int
) -> list[PropheseeBoxes]:
    """Boxes of each recording in order of time, with the class ids of the data set.

    Args:
        path: a folder of `NAME.npy`, `NAME_td.npy` or `NAME_bbox.npy`; of one recording, its file will do.
        recordings: to score.
        split: all that files may be there for.
        classes: how many the data set has.

    Raises:
        DatasetError: files are missing, damaged, or for no recording of the split.
        OSError: the path cannot be read.
    """
    if path.is_file():
        if len(recordings) > 1:
            raise DatasetError(f"{path}: one file, but {len(recordings)} recordings; name a folder of files")
        return [read_labels(path, classes)]
    files: dict[str, Path] = {}
    for file in sorted(each for each in path.iterdir() if each.suffix == ".npy"):
        name = file.stem.removesuffix(next(end for end in NAME_SUFFIXES if file.stem.endswith(end)))
        if name in files:
            raise DatasetError(f"{path}: {files[name].name} and {file.name} are for one recording; keep one")
        files[name] = file
    wanted = [recording_stem(each.events.name) for each in recordings]
    extra = sorted(files.keys() - {recording_stem(each.events.name) for each in split})
    missing = [name for name in wanted if name not in files]
    if missing:
        raise DatasetError(f"{path / missing[0]}.npy: missing; so are {len(missing)} of {len(wanted)} files")
    if extra:
        raise DatasetError(
            f"{files[extra[0]]}: no such recording in the split; so it is with {len(extra)} of {len(files)} "
            "files"
        )
    return [read_labels(files[name], classes) for name in wanted]


def read_coco_results(path: Path, categories: Categories, image_ids: frozenset[int]) -> dict[int, Detections]:
    """Image id -> boxes in the order of the file, with contiguous class ids; images without any are absent.

    Raises:
        DatasetError: not a COCO results file, or of images or categories that the data set does not have.
        OSError: it cannot be read.
    """
    try:
        rows = json.loads(path.read_bytes())
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON ({error})") from error
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and row.keys() >= set(RESULT_FIELDS) for row in rows
    ):
        raise DatasetError(
            f"{path}: expected a list of objects with {', '.join(RESULT_FIELDS)} (COCO results)"
        )
    for field, known in (("image_id", image_ids), ("category_id", categories.category_to_class.keys())):
        strange = [row[field] for row in rows if not isinstance(row[field], int) or row[field] not in known]
        if strange:
            raise DatasetError(
                f"{path}: {field} {strange[0]!r} is not in the data set; so it is with {len(strange)} of "
                f"{len(rows)} rows"
            )
    by_image: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_image.setdefault(row["image_id"], []).append(row)
    return {image: _parse_detections(path, some, categories) for image, some in by_image.items()}


def _parse_detections(path: Path, rows: Sequence[dict[str, Any]], categories: Categories) -> Detections:
    try:
        xywh = np.array([row["bbox"] for row in rows], np.float32).reshape(len(rows), 4)
        score = np.array([row["score"] for row in rows], np.float32)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path}: a bbox is not four numbers, or a score not one ({error})") from error
    if not (np.isfinite(xywh).all() and np.isfinite(score).all()):
        raise DatasetError(f"{path}: a bbox or score is not finite")
    class_id = np.array([categories.category_to_class[row["category_id"]] for row in rows], np.int64)
    return Detections(xywh, score, class_id, 0)


def boxes_at(times_us: Mapping[int, int], detections: Mapping[int, Detections]) -> PropheseeBoxes:
    """Detections by image as boxes of one recording, in order of time; times_us: image id -> its time."""
    parts = [
        to_prophesee(Detections(boxes.xywh, boxes.confidence, boxes.class_id, t_us))
        for t_us, boxes in sorted(
            ((t_us, detections[image]) for image, t_us in times_us.items() if image in detections),
            key=lambda each: each[0],
        )
    ]
    return np.concatenate([np.zeros(0, BBOX_DTYPE), *parts])
