"""COCO's layout: `annotations/instances_val2017.json` and the pictures in `images/val2017/` or `val2017/`."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from spikewatch.model.errors import DatasetError
from spikewatch.model.training.datasets.ground_truth import GroundTruth

ANNOTATIONS_PREFIX = "instances_"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Categories:
    """COCO's categories, sorted by id: their names, and category id -> class id, which counts from 0."""

    names: tuple[str, ...]
    category_to_class: dict[int, int]

    @staticmethod
    def from_annotations(data: dict[str, Any]) -> "Categories":
        """From the content of an annotations file."""
        rows = sorted(data["categories"], key=lambda category: int(category["id"]))
        names = tuple(str(row["name"]) for row in rows)
        return Categories(names, {int(row["id"]): index for index, row in enumerate(rows)})


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """A picture, its size in pixels by the annotations, what is in it, and its id there."""

    path: Path
    width: int
    height: int
    ground_truth: GroundTruth
    image_id: int


@dataclass(frozen=True, slots=True)
class CocoImages:
    """A split: its classes, the pictures in order of their ids, and the ids of all, beyond a limit too."""

    categories: Categories
    images: tuple[LabelledImage, ...]
    image_ids: frozenset[int]

    @property
    def class_names(self) -> tuple[str, ...]:
        """By contiguous class id."""
        return self.categories.names


def find_annotation_files(folder: Path) -> dict[str, Path]:
    """Split -> annotations, of the splits that have them."""
    found = sorted((folder / "annotations").glob(f"{ANNOTATIONS_PREFIX}*.json"))
    return {path.stem.removeprefix(ANNOTATIONS_PREFIX): path for path in found}


def resolve_split(folder: Path, prefix: str) -> str:
    """The split of this name, else the last that begins with it: COCO's carry a year.

    Raises:
        DatasetError: there is none.
    """
    found = sorted(name for name in find_annotation_files(folder) if name.startswith(prefix))
    if not found:
        raise DatasetError(f"{folder}: no annotations/{ANNOTATIONS_PREFIX}{prefix}*.json")
    return prefix if prefix in found else found[-1]


def read_coco(folder: Path, split: str = "val2017", limit: int | None = None) -> CocoImages:
    """Read the annotations of a split; pictures are only looked for.

    COCO numbers its 80 categories 1 to 90 with gaps; sorted by id they become classes 0 to 79.

    Raises:
        DatasetError: annotations or pictures are missing or damaged.
    """
    files = find_annotation_files(folder)
    if split not in files:
        raise DatasetError(
            f"{folder}: no annotations of a split {split!r}; there are {', '.join(files) or 'none'}"
        )
    pictures = next((p for p in (folder / "images" / split, folder / split) if p.is_dir()), None)
    if pictures is None:
        raise DatasetError(f"{folder}: the pictures are neither in images/{split}/ nor in {split}/")
    return parse_annotations(files[split], lambda data: _parse_split(data, pictures, limit))


def parse_annotations(path: Path, parse: Callable[[dict[str, Any]], T]) -> T:
    """What `parse` makes of an annotations file.

    Raises:
        DatasetError: it is none; names the file.
    """
    try:
        return parse(json.loads(path.read_bytes()))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: not COCO annotations ({error!r})") from error


def ground_truth_by_image(data: dict[str, Any], categories: Categories) -> Callable[[int], GroundTruth]:
    """Gives what is labelled in the image of an id."""
    annotations: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in data["annotations"]:
        annotations[int(annotation["image_id"])].append(annotation)
    return lambda image_id: _parse_ground_truth(annotations.get(image_id, []), categories.category_to_class)


def _parse_split(data: dict[str, Any], folder: Path, limit: int | None) -> CocoImages:
    categories = Categories.from_annotations(data)
    truth = ground_truth_by_image(data, categories)
    images = sorted(data["images"], key=lambda image: int(image["id"]))
    pictures = [
        LabelledImage(
            folder / str(image["file_name"]),
            int(image["width"]),
            int(image["height"]),
            truth(int(image["id"])),
            int(image["id"]),
        )
        for image in images[:limit]
    ]
    missing = [each.path for each in pictures if not each.path.is_file()]
    if missing:
        raise DatasetError(f"{missing[0]}: missing; {len(missing)} of {len(pictures)} pictures are not there")
    return CocoImages(categories, tuple(pictures), frozenset(int(image["id"]) for image in images))


def _parse_ground_truth(annotations: list[dict[str, Any]], category_to_class: dict[int, int]) -> GroundTruth:
    xywh = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(-1, 4)
    if len(xywh) != len(annotations) or not np.isfinite(xywh).all():
        raise ValueError("a bbox is not four numbers")
    boxes = zip(annotations, xywh, strict=True)
    return GroundTruth(
        xywh,
        np.array([category_to_class[int(annotation["category_id"])] for annotation in annotations], np.int64),
        np.array([annotation.get("area", box[2] * box[3]) for annotation, box in boxes], np.float64),
        np.array([bool(annotation.get("iscrowd", 0)) for annotation in annotations], bool),
    )
