"""Class map: classes of a data set and of weights, matched by name."""

import json
from pathlib import Path

import numpy as np
import pytest

from spikewatch.model.errors import DatasetError
from spikewatch.model.training.datasets.class_map import (
    ONE_MPX_CLASSES,
    match_classes,
    read_class_names,
    remap_ids,
)


def test_gen1_weights_on_1_mpx_score_common_classes() -> None:
    found = match_classes(ONE_MPX_CLASSES, ("car", "pedestrian"))
    assert found.names == ("pedestrian", "car")
    assert remap_ids(np.arange(7), found.label_to_index).tolist() == [0, -1, 1, -1, -1, -1, -1]
    assert remap_ids(np.arange(2), found.detection_to_index).tolist() == [1, 0]


def test_1_mpx_scores_three_classes_by_default() -> None:
    assert match_classes(ONE_MPX_CLASSES, ONE_MPX_CLASSES).names == ("pedestrian", "two wheeler", "car")
    assert match_classes(ONE_MPX_CLASSES, ONE_MPX_CLASSES, ["truck", "car"]).names == ("truck", "car")


def test_other_names_are_paired() -> None:
    found = match_classes(("car", "pedestrian"), ("person", "bicycle", "car"), ["pedestrian=person", "car"])
    assert (found.names, found.label_to_index, found.detection_to_index) == (
        ("pedestrian", "car"),
        (1, 0),
        (0, -1, 1),
    )


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (None, "no class in common: the data set has car; the weights have person"),
        (["van"], "class 'van' is unknown"),
        (["car"], "class 'car' is unknown: the data set has car; the weights have person"),
        (["car=person", "car=person"], "named twice"),
    ],
)
def test_unmatched_classes_are_rejected(wanted: list[str] | None, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        match_classes(("car",), ("person",), wanted)


def test_class_names_are_read_from_the_folder(tmp_path: Path) -> None:
    place = tmp_path / "test"
    place.mkdir()
    assert read_class_names(place, "gen1") == ("car", "pedestrian")
    assert read_class_names(place, "1mpx") == ONE_MPX_CLASSES
    file = tmp_path / "label_map_dictionary.json"
    file.write_text(json.dumps({"1": "rock", "0": "paper"}))
    assert read_class_names(place, "1mpx") == read_class_names(tmp_path, "gen1") == ("paper", "rock")
    for content in ("[]", "{", '{"a": "b"}', '{"0": "a", "2": "b"}', '{"0": "a", "1": "a"}', "{}"):
        file.write_text(content)
        with pytest.raises(DatasetError, match=r"label_map_dictionary\.json"):
            read_class_names(place, "gen1")
