"""COCO's layout: `annotations/instances_val2017.json` and the pictures in `images/val2017/` or `val2017/`."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.errors import DatasetError
from model.training.truth import Truth

PREFIX = "instances_"


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture, its size in pixels by the annotations, and what is in it."""

    path: Path
    width: int
    height: int
    truth: Truth


@dataclass(frozen=True, slots=True)
class CocoImages:
    """A split: class names by contiguous id, and the pictures in order of their ids."""

    class_names: tuple[str, ...]
    pictures: tuple[LabelledPicture, ...]


def annotation_files(folder: Path) -> dict[str, Path]:
    """Split -> annotations, of the splits that have them."""
    found = sorted((folder / "annotations").glob(f"{PREFIX}*.json"))
    return {path.stem.removeprefix(PREFIX): path for path in found}


def read_coco(folder: Path, split: str = "val2017", limit: int | None = None) -> CocoImages:
    """Read the annotations of a split; pictures are only looked for.

    COCO numbers its 80 categories 1 to 90 with gaps; sorted by id they become classes 0 to 79.

    Raises:
        DatasetError: annotations or pictures are missing or damaged.
    """
    files = annotation_files(folder)
    if split not in files:
        raise DatasetError(
            f"{folder}: no annotations of a split {split!r}; there are {', '.join(files) or 'none'}"
        )
    pictures = next((p for p in (folder / "images" / split, folder / split) if p.is_dir()), None)
    if pictures is None:
        raise DatasetError(f"{folder}: the pictures are neither in images/{split}/ nor in {split}/")
    try:
        return _parse(json.loads(files[split].read_bytes()), pictures, limit)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{files[split]}: not COCO annotations ({error!r})") from error


def _parse(data: dict[str, Any], folder: Path, limit: int | None) -> CocoImages:
    categories = sorted(data["categories"], key=lambda category: int(category["id"]))
    class_of = {int(category["id"]): index for index, category in enumerate(categories)}
    annotations: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in data["annotations"]:
        annotations[int(annotation["image_id"])].append(annotation)
    images = sorted(data["images"], key=lambda image: int(image["id"]))[:limit]
    pictures = [
        LabelledPicture(
            folder / str(image["file_name"]),
            int(image["width"]),
            int(image["height"]),
            _truth(annotations[int(image["id"])], class_of),
        )
        for image in images
    ]
    missing = [each.path for each in pictures if not each.path.is_file()]
    if missing:
        raise DatasetError(f"{missing[0]}: missing; {len(missing)} of {len(pictures)} pictures are not there")
    return CocoImages(tuple(str(category["name"]) for category in categories), tuple(pictures))


def _truth(annotations: list[dict[str, Any]], class_of: dict[int, int]) -> Truth:
    xywh = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(-1, 4)
    if len(xywh) != len(annotations) or not np.isfinite(xywh).all():
        raise ValueError("a bbox is not four numbers")
    boxes = zip(annotations, xywh, strict=True)
    return Truth(
        xywh,
        np.array([class_of[int(annotation["category_id"])] for annotation in annotations], np.int64),
        np.array([annotation.get("area", box[2] * box[3]) for annotation, box in boxes], np.float64),
        np.array([bool(annotation.get("iscrowd", 0)) for annotation in annotations], bool),
    )
