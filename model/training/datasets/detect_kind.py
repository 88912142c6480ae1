"""Detection of the kind of a data set from its content."""

from pathlib import Path
from typing import Literal

from spikewatch.model.errors import DatasetError
from spikewatch.model.training.datasets.coco_images import find_annotation_files, parse_annotations
from spikewatch.model.training.datasets.coco_recordings import has_times
from spikewatch.model.training.datasets.prophesee import has_recordings

DatasetKind = Literal["prophesee", "coco", "coco_recordings"]

DEFAULT_SPLITS: dict[DatasetKind, str] = {"prophesee": "test", "coco": "val2017", "coco_recordings": "all"}
"""Kind -> the split that papers report; a COCO file of recordings is a single split."""


def dataset_kind(path: Path) -> DatasetKind:
    """Return the kind of a data set: Prophesee recordings, COCO images, or recordings with COCO annotations.

    Raises:
        DatasetError: the path is no data set, or its smallest annotations file is damaged.
        OSError: the path does not exist.
    """
    if path.suffix == ".json" and path.is_file():
        return "coco_recordings"
    next(path.iterdir(), None)  # raises for a missing folder, where glob returns nothing
    files = find_annotation_files(path).values()
    if files:
        smallest = min(files, key=lambda file: file.stat().st_size)  # a training split's can have 500 MB
        return "coco_recordings" if parse_annotations(smallest, has_times) else "coco"
    if has_recordings(path):
        return "prophesee"
    raise DatasetError(
        f"{path}: no data set; expected recordings (*_td.dat, *.h5, *.raw) with *_bbox.npy next to them, in "
        "the folder or in test/, annotations/instances_*.json (COCO, of images or recordings), or a COCO "
        "file (.json) of recordings"
    )
