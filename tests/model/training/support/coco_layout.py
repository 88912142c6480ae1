"""COCO annotations for recordings in Prophesee's format."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("car", "pedestrian")
OF_CLASS = (3, 5)
"""Category ids."""


def annotate(folder: Path, split: str, recordings: Sequence[tuple[Path, Path]], **changed: Any) -> Path:
    """Write annotations/instances_`split`.json from recordings and their `*_bbox.npy`."""
    path = folder / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    for events, labels in recordings:
        boxes = np.load(labels)
        for t_us in np.unique(boxes["t"]).tolist():
            image = {"id": len(images) + 1, "file_name": os.path.relpath(events, path.parent), "t_us": t_us}
            images.append(image)
            for box in boxes[boxes["t"] == t_us]:
                xywh = [float(box[name]) for name in "xywh"]
                annotations.append(
                    {"image_id": image["id"], "category_id": OF_CLASS[box["class_id"]], "bbox": xywh}
                )
    categories = [{"id": number, "name": name} for number, name in zip(OF_CLASS, NAMES, strict=True)]
    data = {"categories": categories, "images": images, "annotations": annotations}
    path.write_text(json.dumps(data | changed))
    return path
