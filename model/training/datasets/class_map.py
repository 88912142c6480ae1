"""Class map: the classes that are scored, matched by name between data set and weights."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.errors import DatasetError
from spikewatch.model.spec import GEN1_CLASSES
from spikewatch.model.training.datasets.protocol import ProtocolName

ONE_MPX_CLASSES = ("pedestrian", "two wheeler", "car", "truck", "bus", "traffic sign", "traffic light")
"""Classes of the 1 Megapixel data set, in the order of their ids."""

ONE_MPX_SCORED = ONE_MPX_CLASSES[:3]
"""Classes of the 1 Megapixel data set that papers score."""

LABEL_MAP_FILE = "label_map_dictionary.json"
"""File with the class names of a folder in Prophesee's layout: {"0": "car", ...}."""

IGNORED_CLASS = -1
"""Index of a class that is not scored."""


@dataclass(frozen=True, slots=True)
class ClassMap:
    """Mapping of the class ids of labels and of detections to scored classes.

    Attributes:
        names: names of the scored classes.
        label_to_index: class id of labels -> index in `names`, or IGNORED_CLASS.
        detection_to_index: class id of detections -> index in `names`, or IGNORED_CLASS.
    """

    names: tuple[str, ...]
    label_to_index: tuple[int, ...]
    detection_to_index: tuple[int, ...]


def remap_ids(ids: NDArray[np.integer], table: Sequence[int]) -> NDArray[np.int64]:
    """Map ids [N], all below len(table), to indices in `ClassMap.names` or IGNORED_CLASS, int64 [N]."""
    indices: NDArray[np.int64] = np.asarray(table, np.int64)[ids]
    return indices


def identity_map(names: Sequence[str]) -> ClassMap:
    """Return the map for labels and detections that have the same class ids."""
    ids = tuple(range(len(names)))
    return ClassMap(tuple(names), ids, ids)


def match_classes(
    dataset_names: Sequence[str], model_names: Sequence[str], requested: Sequence[str] | None = None
) -> ClassMap:
    """Match classes by name.

    Args:
        dataset_names: names in the order of the class ids of labels.
        model_names: names in the order of the class ids of detections, those of the weights.
        requested: names of the data set to score, each as `NAME`, or as `NAME=OTHER` if the class is named
            OTHER in the weights; None for all common classes (of the 1 Megapixel data set those that papers
            score).

    Raises:
        DatasetError: a requested name is unknown or occurs twice, or no class is left to score.
    """
    both = f"the data set has {', '.join(dataset_names)}; the weights have {', '.join(model_names)}"
    if requested is None:
        default = ONE_MPX_SCORED if tuple(dataset_names) == ONE_MPX_CLASSES else dataset_names
        pairs = [(name, name) for name in default if name in model_names]
    else:
        pairs = [(name, other or name) for name, _, other in (pair.partition("=") for pair in requested)]
    for name, other in pairs:
        if name not in dataset_names or other not in model_names:
            raise DatasetError(f"class {name if name not in dataset_names else other!r} is unknown: {both}")
    names = tuple(name for name, _ in pairs)
    others = [other for _, other in pairs]
    if len(set(names)) < len(names) or len(set(others)) < len(others):
        raise DatasetError(
            f"a class is named twice in {', '.join(requested or dataset_names)}; name each class once"
        )
    if not pairs:
        raise DatasetError(f"no class in common: {both}; name pairs with --classes NAME=OTHER")
    return ClassMap(names, _index_table(dataset_names, names), _index_table(model_names, others))


def _index_table(ids: Sequence[str], scored: Sequence[str]) -> tuple[int, ...]:
    return tuple(scored.index(name) if name in scored else IGNORED_CLASS for name in ids)


def read_class_names(folder: Path, protocol: ProtocolName) -> tuple[str, ...]:
    """Return the class names of a folder in Prophesee's layout, in the order of the class ids of its labels.

    Reads LABEL_MAP_FILE in the folder or its parent. Without this file, returns the classes of the protocol's
    data set.

    Raises:
        DatasetError: the file is damaged.
    """
    path = next((p for p in (folder / LABEL_MAP_FILE, folder.parent / LABEL_MAP_FILE) if p.is_file()), None)
    if path is None:
        return ONE_MPX_CLASSES if protocol == "1mpx" else GEN1_CLASSES
    try:
        by_id = {int(key): str(name) for key, name in json.loads(path.read_bytes()).items()}
    except (ValueError, AttributeError) as error:
        raise DatasetError(f"{path}: not a map of class ids to names ({error})") from error
    if not by_id or sorted(by_id) != list(range(len(by_id))) or len(set(by_id.values())) < len(by_id):
        raise DatasetError(f"{path}: expected different names for the ids 0, 1, 2 ..., found {by_id}")
    return tuple(by_id[k] for k in range(len(by_id)))
