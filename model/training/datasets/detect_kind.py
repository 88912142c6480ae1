"""Which data set a path leads to, told by its content."""

from pathlib import Path
from typing import Literal

from spikewatch.model.errors import DatasetError
from spikewatch.model.training.datasets.coco_images import find_annotation_files, parse_annotations
from spikewatch.model.training.datasets.coco_recordings import has_times
from spikewatch.model.training.datasets.prophesee import has_recordings

DatasetKind = Literal["prophesee", "coco", "coco_recordings"]

DEFAULT_SPLITS: dict[DatasetKind, str] = {"prophesee": "test", "coco": "val2017", "coco_recordings": "all"}
"""The split that papers report; a COCO file of recordings is one split."""


def dataset_kind(path: Path) -> DatasetKind:
    """Prophesee's recordings, COCO's pictures, or recordings with COCO's boxes, a file or a folder of files.

    Raises:
        DatasetError: none of them, or the smallest file of annotations is damaged.
        OSError: there is no such folder.
    """
    if path.suffix == ".json" and path.is_file():
        return "coco_recordings"
    next(path.iterdir(), None)  # glob finds nothing in a missing folder, and does not say so
    files = find_annotation_files(path).values()
    if files:
        smallest = min(files, key=lambda file: file.stat().st_size)  # that of a training split can be 500 MB
        return "coco_recordings" if parse_annotations(smallest, has_times) else "coco"
    if has_recordings(path):
        return "prophesee"
    raise DatasetError(
        f"{path}: no data set; expected recordings (*_td.dat, *.h5, *.raw) with *_bbox.npy beside, in the "
        "folder or in test/, annotations/instances_*.json (COCO, of pictures or recordings), or a COCO file "
        "(.json) of recordings"
    )
