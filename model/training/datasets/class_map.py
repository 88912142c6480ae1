"""Which classes are scored: those that the data set and the weights both know, matched by name."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.errors import DatasetError
from spikewatch.model.spec import GEN1_CLASSES
from spikewatch.model.training.datasets.protocol import RulesName

ONE_MPX_CLASSES = ("pedestrian", "two wheeler", "car", "truck", "bus", "traffic sign", "traffic light")
"""Classes of the 1 Megapixel set, in the order of their ids."""

ONE_MPX_SCORED = ONE_MPX_CLASSES[:3]
"""Those that papers score."""

LABEL_MAP = "label_map_dictionary.json"
"""Where a folder in Prophesee's layout names its classes: {"0": "car", ...}."""

LEFT_OUT = -1


@dataclass(frozen=True, slots=True)
class ClassMap:
    """How two numberings of classes become one.

    Attributes:
        names: of the classes that are scored.
        of_labels: index in `names` by the id that labels have, LEFT_OUT where it is not scored.
        of_found: the same by the id that detections have.
    """

    names: tuple[str, ...]
    of_labels: tuple[int, ...]
    of_found: tuple[int, ...]


def renumbered(ids: NDArray[np.integer], table: Sequence[int]) -> NDArray[np.int64]:
    """Indices in `ClassMap.names`, int64 [N], or LEFT_OUT, of ids [N] that are all below len(table)."""
    numbers: NDArray[np.int64] = np.asarray(table, np.int64)[ids]
    return numbers


def same_classes(names: Sequence[str]) -> ClassMap:
    """Labels and detections number the same classes alike."""
    ids = tuple(range(len(names)))
    return ClassMap(tuple(names), ids, ids)


def match_classes(
    dataset: Sequence[str], found: Sequence[str], wanted: Sequence[str] | None = None
) -> ClassMap:
    """Match classes by name.

    Args:
        dataset: names by the ids of labels.
        found: names by the ids of detections, those of the weights.
        wanted: names of the data set to score, each as `NAME`, or as `NAME=OTHER` where the weights call it
            OTHER; None for all that both know, of the 1 Megapixel set those that papers score.

    Raises:
        DatasetError: a wanted name is unknown or named twice, or nothing is left to score.
    """
    both = f"the data set has {', '.join(dataset)}; the weights know {', '.join(found)}"
    if wanted is None:
        usual = ONE_MPX_SCORED if tuple(dataset) == ONE_MPX_CLASSES else dataset
        pairs = [(name, name) for name in usual if name in found]
    else:
        pairs = [(name, other or name) for name, _, other in (each.partition("=") for each in wanted)]
    for name, other in pairs:
        if name not in dataset or other not in found:
            raise DatasetError(f"class {name if name not in dataset else other!r} is unknown: {both}")
    names = tuple(name for name, _ in pairs)
    others = [other for _, other in pairs]
    if len(set(names)) < len(names) or len(set(others)) < len(others):
        raise DatasetError(f"a class is named twice in {', '.join(wanted or dataset)}")
    if not pairs:
        raise DatasetError(f"no class in common: {both}; name pairs with --classes NAME=OTHER")
    return ClassMap(names, _table(dataset, names), _table(found, others))


def _table(ids: Sequence[str], scored: Sequence[str]) -> tuple[int, ...]:
    return tuple(scored.index(name) if name in scored else LEFT_OUT for name in ids)


def folder_classes(place: Path, rules: RulesName) -> tuple[str, ...]:
    """Class names of a folder in Prophesee's layout, by the ids of its labels.

    From LABEL_MAP in the folder or the one above; without it those of the set that the rules are for.

    Raises:
        DatasetError: the file is damaged.
    """
    path = next((p for p in (place / LABEL_MAP, place.parent / LABEL_MAP) if p.is_file()), None)
    if path is None:
        return ONE_MPX_CLASSES if rules == "1mpx" else GEN1_CLASSES
    try:
        by_id = {int(key): str(name) for key, name in json.loads(path.read_bytes()).items()}
    except (ValueError, AttributeError) as error:
        raise DatasetError(f"{path}: not a map of class ids to names ({error})") from error
    if not by_id or sorted(by_id) != list(range(len(by_id))) or len(set(by_id.values())) < len(by_id):
        raise DatasetError(f"{path}: expected different names for the ids 0, 1, 2 ..., found {by_id}")
    return tuple(by_id[k] for k in range(len(by_id)))
