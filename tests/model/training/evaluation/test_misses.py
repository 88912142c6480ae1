"""Misses: matching of detections, and the order of the worst errors."""

import numpy as np
import pytest

from spikewatch.model.detections import Detections
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.evaluation.misses import Miss, match_detections, worst_misses
from spikewatch.model.training.evaluation.scored_image import ScoredImage
from tests.model.training.support import reference


def truth(*rows: tuple[float, float, float, float, int, bool]) -> GroundTruth:
    xywh = np.array([row[:4] for row in rows], float).reshape(-1, 4)
    class_id, crowd = np.array([row[4] for row in rows], int), np.array([row[5] for row in rows], bool)
    return GroundTruth(xywh, class_id, xywh[:, 2] * xywh[:, 3], crowd)


def found(*rows: tuple[float, float, float, float, int, float]) -> Detections:
    xywh = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    confidence = np.array([row[5] for row in rows], np.float32)
    return Detections(xywh, confidence, np.array([row[4] for row in rows], int), 0)


@pytest.mark.parametrize("seed", range(8))
def test_matches_equal_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = [
        (*(int(v) for v in rng.integers(0, 40, 2)), *(int(v) for v in rng.integers(20, 50, 2)))
        for _ in "abcd"
    ]
    labelled = truth(*((*box, 0, bool(k == 3)) for k, box in enumerate(base)))
    order = rng.permutation(12) / 16
    boxes = [
        (*(v + int(rng.integers(-4, 5)) for v in base[int(rng.integers(4))]), 0, float(order[k]) + 0.125)
        for k in range(12)
    ]
    hit = match_detections(labelled, found(*boxes))
    rows, _ = reference.match(
        [(*box, 0, float(box[2] * box[3]), k == 3) for k, box in enumerate(base)],
        boxes,
        reference.AREAS["all"],
        0.5,
    )
    best_first = sorted(range(12), key=lambda k: -boxes[k][5])
    assert [(hit[k] >= 0, hit[k] == 3) for k in best_first] == [(was, ignored) for _, was, ignored in rows]
    assert 0 < (hit >= 0).sum() < 12


def test_box_of_another_class_does_not_match() -> None:
    assert match_detections(truth((0, 0, 9, 9, 1, False)), found((0, 0, 9, 9, 0, 0.5))).tolist() == [-1]
    assert match_detections(truth(), found((0, 0, 9, 9, 0, 0.5))).tolist() == [-1]


def test_worst_misses_come_first_once_for_each_image() -> None:
    images = [
        ScoredImage(0, 0, truth((0, 0, 20, 20, 0, False)), found((0, 0, 20, 20, 0, 0.9))),
        ScoredImage(
            0,
            1,
            truth((0, 0, 20, 20, 0, False), (50, 0, 30, 10, 1, False)),
            found((90, 90, 9, 9, 0, 0.5), (60, 60, 9, 9, 0, 0.75), (0, 0, 20, 20, 0, 0.2)),
        ),
        ScoredImage(1, 2, truth((0, 0, 99, 9, 0, True)), found((60, 60, 9, 9, 1, 0.875))),
        ScoredImage(1, 3, truth((0, 0, 99, 9, 0, False)), found()),
    ]
    false, missed = worst_misses(images, 10)
    assert false == [Miss("false_positive", 2, 0, 0.875, 0), Miss("false_positive", 1, 1, 0.75, 1)]
    assert missed == [Miss("missed", 3, 0, 891, 0), Miss("missed", 1, 0, 400, 1)]
    assert worst_misses(images, 1) == (false[:1], missed[:1])
