"""Which data set a folder holds, told by its content."""

from pathlib import Path
from typing import Literal

from model.errors import DatasetError
from model.training.coco_images import annotation_files
from model.training.gen1 import has_recordings

Kind = Literal["gen1", "coco"]

DEFAULT_SPLITS: dict[Kind, str] = {"gen1": "test", "coco": "val2017"}
"""The split that papers report."""


def kind_of(folder: Path) -> Kind:
    """Gen1's recordings or COCO's pictures.

    Raises:
        DatasetError: neither.
        OSError: there is no such folder.
    """
    next(folder.iterdir(), None)  # glob finds nothing in a missing folder, and does not say so
    if annotation_files(folder):
        return "coco"
    if has_recordings(folder):
        return "gen1"
    raise DatasetError(
        f"{folder}: no data set; expected *_td.dat with *_bbox.npy beside, in the folder or in test/ (Gen1), "
        "or annotations/instances_*.json (COCO)"
    )
