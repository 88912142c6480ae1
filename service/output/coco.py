"""Boxes as a COCO data set: each result is an image, each box an annotation with its `score`."""

import json
from pathlib import Path
from typing import Any

from spikewatch.service.inference.offline import OfflineStep
from spikewatch.service.output.writers import FileWriter
from spikewatch.service.schemas import Summary, Window

FIRST_CATEGORY = 1
"""COCO counts categories from 1."""


def coco_categories(class_names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the list `categories` of a data set."""
    return [{"id": FIRST_CATEGORY + number, "name": name} for number, name in enumerate(class_names)]


def coco_image(window: Window, name: str, sensor_size: tuple[int, int]) -> dict[str, Any]:
    """Return the image of a window, numbered from 1; `t_us` is the time at which its boxes are valid."""
    width, height = sensor_size
    file_name = f"{name}_{window.t_end_us:012d}.png"
    return {
        "id": window.seq + 1,
        "file_name": file_name,
        "width": width,
        "height": height,
        "t_us": window.t_end_us,
    }


def coco_annotations(window: Window, first_id: int) -> list[dict[str, Any]]:
    """Return one annotation a box, with ids from `first_id`; `track_id` only where the box has a track."""
    return [
        {
            "id": first_id + number,
            "image_id": window.seq + 1,
            "category_id": FIRST_CATEGORY + box.class_id,
            "bbox": [box.x, box.y, box.w, box.h],
            "area": round(box.w * box.h, 2),
            "iscrowd": 0,
            "score": box.confidence,
            **({} if box.track_id is None else {"track_id": box.track_id}),
        }
        for number, box in enumerate(window.detections)
    ]


class CocoWriter(FileWriter):
    """One COCO object with `images`, `annotations` and `categories`; held in memory until the end."""

    def __init__(
        self, path: Path, name: str, sensor_size: tuple[int, int], class_names: tuple[str, ...]
    ) -> None:
        super().__init__(path)
        self._name, self._sensor_size = name, sensor_size
        self._categories = coco_categories(class_names)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def write(self, step: OfflineStep) -> None:
        """Collect images and annotations."""
        for window in step.windows:
            self._images.append(coco_image(window, self._name, self._sensor_size))
            self._annotations += coco_annotations(window, len(self._annotations) + 1)

    def finish(self, summary: Summary) -> None:
        """Write the object."""
        info = {"description": f"{self._name}: boxes of {summary.model} ({summary.training})"}
        content = {
            "info": info,
            "images": self._images,
            "annotations": self._annotations,
            "categories": self._categories,
        }
        self._file.write(json.dumps(content).encode())
