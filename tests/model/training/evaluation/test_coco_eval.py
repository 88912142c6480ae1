"""Filter, matching and scores equal `reference`, which shares no code with the package."""

from dataclasses import asdict

import numpy as np
import pytest

from spikewatch.model.detections import Detections
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.datasets.labelled_recording import frames_from_boxes, pool_detections
from spikewatch.model.training.datasets.prophesee_labels import GEN1_FILTER, crop_boxes
from spikewatch.model.training.evaluation.coco_eval import CocoEvaluator
from spikewatch.model.training.evaluation.metrics import Score
from tests.model.training.support import reference

CLASSES = ("car", "pedestrian")
SIZES = [
    (18, 24),
    (10, 40),
    (9.99, 60),
    (10, 28),
    (40, 30),
    (200, 120),
    (32, 32),
    (96, 96),
    (60, 9),
    (17, 24),
    (20, 60),
]


def boxes(n: int) -> PropheseeBoxes:
    return np.zeros(n, BBOX_DTYPE)


def random_recording(seed: int) -> tuple[PropheseeBoxes, PropheseeBoxes]:
    """Labels and detections with ties, empty images, and boxes, times and sizes at every limit."""
    rng = np.random.default_rng(seed)
    times = np.array([400_000, 500_000, 500_001, 700_000, 740_000, 1_000_000, 1_250_000, 1_500_000])
    labels = boxes(40)
    labels["t"] = np.sort(rng.choice(times, 40))
    labels["class_id"] = rng.integers(0, 2, 40)
    size = np.array(SIZES)[rng.integers(0, len(SIZES), 40)]
    labels["w"], labels["h"] = size.T
    labels["x"] = np.where(rng.random(40) < 0.3, -5, rng.integers(0, 280, 40))
    labels["y"] = np.where(rng.random(40) < 0.3, 0, rng.integers(0, 200, 40))

    near = labels[rng.integers(0, 40, 150)].copy()
    near = near[near["t"] != 1_250_000]
    for name, spread in (("x", 4), ("y", 4), ("w", 3), ("h", 3)):
        near[name] += rng.integers(-spread, spread + 1, len(near))
    near["t"] += rng.choice([0, 0, 0, -50_000, 50_000, 50_001, -50_001], len(near))
    near["class_confidence"] = rng.integers(1, 8, len(near)) / 8
    wrong = rng.random(len(near)) < 0.2
    near["class_id"][wrong] = 1 - near["class_id"][wrong]
    return labels, near[np.argsort(near["t"], kind="stable")]


def scored(recordings: list[tuple[PropheseeBoxes, PropheseeBoxes]]) -> Score:
    scorer = CocoEvaluator(CLASSES)
    for labels, found in recordings:
        labels, found = (GEN1_FILTER.apply(crop_boxes(each, 10**6, 10**6)) for each in (labels, found))
        moments = frames_from_boxes(labels)
        for moment, near in zip(moments, pool_detections(moments, found, 50_000), strict=True):
            scorer.add(moment.ground_truth, near)
    return scorer.score()


@pytest.mark.parametrize("seed", range(6))
def test_protocol_equals_the_reference(seed: int) -> None:
    recordings = [random_recording(10 * seed + k) for k in range(2)]
    score = scored(recordings)
    images = [image for labels, found in recordings for image in reference.images(labels, found)]
    assert score.images == len(images) > 8
    assert any(not found for _, found in images), "an image without detections"
    assert asdict(score.metrics) == pytest.approx(reference.figures(images, [0, 1]), abs=1e-9)
    assert 0.01 < (score.metrics.ap or 0) < 0.9
    for k, row in enumerate(score.classes):
        assert asdict(row.metrics) == pytest.approx(reference.figures(images, [k]), abs=1e-9)
        assert row.labelled == sum(truth[4] == k for truths, _ in images for truth in truths)
        assert row.detected == sum(box[4] == k for _, found in images for box in found)


@pytest.mark.parametrize("seed", range(4))
def test_crowds_areas_and_many_boxes_equal_the_reference(seed: int) -> None:
    """As COCO has them: crowds, areas that are not the boxes', over 100 boxes, images without objects."""
    rng = np.random.default_rng(seed)
    scorer, images = CocoEvaluator(CLASSES), []
    for image in range(6):
        n = 0 if image == 0 else int(rng.integers(1, 6))
        xywh = np.concatenate([rng.integers(0, 200, (n, 2)), rng.integers(15, 130, (n, 2))], 1).astype(float)
        truth = GroundTruth(
            xywh,
            rng.integers(0, 2, n),
            xywh[:, 2] * xywh[:, 3] * rng.choice([0.3, 0.6, 1], n),
            rng.random(n) < 0.3,
        )
        m = (0, 5, 30, 130)[int(rng.integers(4))] if n else 10
        base = xywh[rng.integers(0, n, m)] if n else rng.integers(10, 90, (m, 4)).astype(float)
        guess = (base + rng.integers(-9, 10, (m, 4)) * (rng.random((m, 1)) < 0.8)).astype(np.float32)
        confidence = np.sort(rng.integers(1, 20, m) / 20)[::-1].astype(np.float32)
        found = Detections(guess, confidence, np.full(m, image % 2) if m > 100 else rng.integers(0, 2, m), 0)
        scorer.add(truth, found)
        rows = zip(xywh.tolist(), truth.class_id.tolist(), truth.area, truth.crowd, strict=True)
        boxes = zip(guess.tolist(), found.class_id.tolist(), confidence.tolist(), strict=True)
        images.append(
            ([(*box, k, float(a), bool(c)) for box, k, a, c in rows], [(*box, k, s) for box, k, s in boxes])
        )
    score = scorer.score()
    assert score.images == 6
    assert asdict(score.metrics) == pytest.approx(reference.figures(images, [0, 1]), abs=1e-9)


def test_perfect_detections_score_one() -> None:
    labels, _ = random_recording(3)
    found = labels.copy()
    found["class_confidence"] = 0.5
    figures = scored([(labels[labels["t"] != 740_000], found[found["t"] != 740_000])]).metrics
    assert asdict(figures) == pytest.approx(dict.fromkeys(asdict(figures), 1.0))


def test_no_detections_score_zero_and_no_labels_score_none() -> None:
    labels, found = random_recording(0)
    only_cars = labels[labels["class_id"] == 0]
    score = scored([(only_cars, found[:0])])
    assert (score.metrics.ap, score.classes[0].metrics.ap, score.classes[1].metrics.ap) == (0.0, 0.0, None)
    assert CocoEvaluator(CLASSES).score().metrics.ap is None


def test_detections_are_pooled_around_each_label() -> None:
    labels, found = boxes(2), boxes(5)
    labels["t"] = [1_000_000, 1_060_000]
    found["t"] = [949_999, 950_000, 1_000_000, 1_050_000, 1_110_001]
    images = list(pool_detections(frames_from_boxes(labels), found, 50_000))
    assert [(at.t_us, len(at)) for at in images] == [(1_000_000, 3), (1_060_000, 1)]
