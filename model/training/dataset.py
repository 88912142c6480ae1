"""Which data set a path leads to, told by its content."""

from pathlib import Path
from typing import Literal

from model.errors import DatasetError
from model.training.coco_images import annotation_files
from model.training.gen1 import has_recordings

Kind = Literal["prophesee", "coco", "coco_recordings"]

DEFAULT_SPLITS: dict[Kind, str] = {"prophesee": "test", "coco": "val2017", "coco_recordings": "all"}
"""The split that papers report; a COCO file of recordings is one split."""


def kind_of(path: Path) -> Kind:
    """Prophesee's recordings, COCO's pictures, or a COCO file of recordings.

    Raises:
        DatasetError: none of them.
        OSError: there is no such folder.
    """
    if path.suffix == ".json" and path.is_file():
        return "coco_recordings"
    next(path.iterdir(), None)  # glob finds nothing in a missing folder, and does not say so
    if annotation_files(path):
        return "coco"
    if has_recordings(path):
        return "prophesee"
    raise DatasetError(
        f"{path}: no data set; expected recordings (*_td.dat, *.h5, *.raw) with *_bbox.npy beside, in the "
        "folder or in test/, annotations/instances_*.json (COCO), or a COCO file (.json) of recordings"
    )
