"""COCO data sets: `annotations/instances_val2017.json` with images in `images/val2017/` or `val2017/`."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.errors import DatasetError
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.ground_truth import GroundTruth

ANNOTATIONS_PREFIX = "instances_"

T = TypeVar("T")
ReadImage = Callable[[Path], NDArray[np.uint8]]
"""Reads an image file as red, green, blue, uint8 [H,W,3]."""


@dataclass(frozen=True, slots=True)
class Categories:
    """COCO's categories, sorted by id.

    Attributes:
        names: category names in the order of their class ids.
        category_to_class: category id -> class id, from 0 without gaps.
    """

    names: tuple[str, ...]
    category_to_class: dict[int, int]

    @staticmethod
    def from_annotations(data: dict[str, Any]) -> "Categories":
        """Read the categories of an annotations file."""
        rows = sorted(data["categories"], key=lambda category: int(category["id"]))
        names = tuple(str(row["name"]) for row in rows)
        return Categories(names, {int(row["id"]): index for index, row in enumerate(rows)})


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """Image with ground truth; size (in pixels) and id are those of the annotations."""

    path: Path
    width: int
    height: int
    ground_truth: GroundTruth
    image_id: int


@dataclass(frozen=True, slots=True)
class CocoImages:
    """Split of a COCO data set.

    Attributes:
        categories: categories of the data set.
        images: images in the order of their ids, up to the limit.
        image_ids: ids of all images, including those beyond the limit.
    """

    categories: Categories
    images: tuple[LabelledImage, ...]
    image_ids: frozenset[int]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of the contiguous class ids."""
        return self.categories.names


def find_annotation_files(folder: Path) -> dict[str, Path]:
    """Return split -> annotations file, for all splits with annotations."""
    paths = sorted((folder / "annotations").glob(f"{ANNOTATIONS_PREFIX}*.json"))
    return {path.stem.removeprefix(ANNOTATIONS_PREFIX): path for path in paths}


def resolve_split(folder: Path, prefix: str) -> str:
    """Return the split named `prefix`, else the last split that begins with it, because COCO's have a year.

    Raises:
        DatasetError: there is no such split.
    """
    splits = sorted(name for name in find_annotation_files(folder) if name.startswith(prefix))
    if not splits:
        raise DatasetError(f"{folder}: no annotations/{ANNOTATIONS_PREFIX}{prefix}*.json")
    return prefix if prefix in splits else splits[-1]


def read_coco(folder: Path, split: str = "val2017", limit: int | None = None) -> CocoImages:
    """Read the annotations of a split, and check that its images exist.

    COCO's 80 category ids are 1 to 90 with gaps. Sorted by id, they become class ids 0 to 79.

    Raises:
        DatasetError: annotations or images are missing, or annotations are damaged.
    """
    files = find_annotation_files(folder)
    if split not in files:
        raise DatasetError(
            f"{folder}: no annotations for split {split!r}; there are {', '.join(files) or 'none'}"
        )
    image_folder = next((p for p in (folder / "images" / split, folder / split) if p.is_dir()), None)
    if image_folder is None:
        raise DatasetError(f"{folder}: the images are neither in images/{split}/ nor in {split}/")
    return parse_annotations(files[split], lambda data: _parse_split(data, image_folder, limit))


def check_images(images: CocoImages, spec: ModelSpec) -> None:
    """Check that the weights take these images.

    Raises:
        DatasetError: there are no images, or the number of classes differs.
        ConfigError: the weights take events.
    """
    if not images.images:
        raise DatasetError("the annotations name no images; expected at least one")  # no value
    spec.check_input(events=False, name=images.images[0].path.name)
    actual, expected = len(images.class_names), len(spec.class_names)
    if actual != expected:
        raise DatasetError(f"the annotations have {actual} classes, expected the {expected} of {spec.name}")


def read_labelled_image(labelled: LabelledImage, read_image: ReadImage) -> NDArray[np.uint8]:
    """Read the pixels of an image, uint8 [H,W,3].

    Raises:
        DatasetError: the size differs from that of the annotations.
    """
    image = read_image(labelled.path)
    height, width = image.shape[:2]
    if (width, height) != (labelled.width, labelled.height):
        expected = f"{labelled.width}x{labelled.height}"
        raise DatasetError(f"{labelled.path}: {width}x{height}, but {expected} by its annotations")
    return image


def parse_annotations(path: Path, parse: Callable[[dict[str, Any]], T]) -> T:
    """Load an annotations file and return the result of `parse`.

    Raises:
        DatasetError: the file is not valid; the message names the file.
    """
    try:
        return parse(json.loads(path.read_bytes()))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: not COCO annotations ({error!r})") from error


def ground_truth_by_image(data: dict[str, Any], categories: Categories) -> Callable[[int], GroundTruth]:
    """Return a function from image id to ground truth."""
    annotations: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in data["annotations"]:
        annotations[int(annotation["image_id"])].append(annotation)
    return lambda image_id: _parse_ground_truth(annotations.get(image_id, []), categories.category_to_class)


def _parse_split(data: dict[str, Any], folder: Path, limit: int | None) -> CocoImages:
    categories = Categories.from_annotations(data)
    ground_truth_of = ground_truth_by_image(data, categories)
    rows = sorted(data["images"], key=lambda row: int(row["id"]))
    images = [
        LabelledImage(
            folder / str(row["file_name"]),
            int(row["width"]),
            int(row["height"]),
            ground_truth_of(int(row["id"])),
            int(row["id"]),
        )
        for row in rows[:limit]
    ]
    missing = [image.path for image in images if not image.path.is_file()]
    if missing:
        raise DatasetError(f"{missing[0]}: missing; {len(missing)} of {len(images)} images are missing")
    return CocoImages(categories, tuple(images), frozenset(int(row["id"]) for row in rows))


def _parse_ground_truth(annotations: list[dict[str, Any]], category_to_class: dict[int, int]) -> GroundTruth:
    xywh = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(-1, 4)
    if len(xywh) != len(annotations) or not np.isfinite(xywh).all():
        raise ValueError(f"one of {len(annotations)} bboxes of an image is not four numbers")
    boxes = zip(annotations, xywh, strict=True)
    return GroundTruth(
        xywh,
        np.array([category_to_class[int(annotation["category_id"])] for annotation in annotations], np.int64),
        np.array([annotation.get("area", box[2] * box[3]) for annotation, box in boxes], np.float64),
        np.array([bool(annotation.get("iscrowd", 0)) for annotation in annotations], bool),
    )
