"""Weights and data for tests of `spikewatch evaluate`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ASSETS = Path(__file__).parents[3] / "service" / "assets"


def init(path: Path, *wish: str) -> Path:
    """Small untrained weights, as `spikewatch init` makes them."""
    from spikewatch.service.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main(["init", str(path), "--size", "64x96", *wish])
    assert not stop.value.code
    return path


def picture_network(path: Path) -> Path:
    """Weights for pictures, of three classes."""
    return init(path, "--representation", "image", "--class-names", "a,b,c", "--slices", "2")


def coco_folder(folder: Path) -> Path:
    """Three pictures in COCO's layout: two objects, none, and a crowd; classes 1, 3 and 90."""
    (folder / "annotations").mkdir()
    (folder / "val2017").mkdir()
    rng = np.random.default_rng(0)
    for k in range(3):
        picture = rng.integers(0, 256, (61, 97 - k, 3), np.uint8)
        Image.fromarray(picture).save(folder / "val2017" / f"{k}.png")
    annotations = [(0, 1, [5, 5, 40, 30], 0), (0, 90, [50, 9, 20, 20], 0), (2, 3, [1, 1, 60, 40], 1)]
    data = {
        "categories": [{"id": k, "name": str(k)} for k in (1, 3, 90)],
        "images": [{"id": k, "file_name": f"{k}.png", "width": 97 - k, "height": 61} for k in range(3)],
        "annotations": [
            {"id": k, "image_id": i, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}
            for k, (i, c, box, crowd) in enumerate(annotations)
        ],
    }
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(data))
    return folder
