"""The protocol on synthetic detections equals `reference`: filters, borders, ties and pooling."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from spikewatch.model.errors import DatasetError
from spikewatch.model.prophesee_boxes import PropheseeBoxes
from spikewatch.model.training.datasets.class_map import identity_map, match_classes
from spikewatch.model.training.datasets.labelled_recording import frames_from_boxes, pool_detections
from spikewatch.model.training.datasets.protocol import PROTOCOLS, protocol_for_sensor
from spikewatch.model.training.evaluation import coco_eval
from spikewatch.model.training.evaluation.coco_eval import top_per_class
from spikewatch.model.training.evaluation.evaluate import evaluate_boxes
from spikewatch.model.training.evaluation.evaluation import prepare_ground_truth
from tests.model.training.support import reference
from tests.model.training.support.fakes import InMemory, boxes_at, random_events

SENSORS = {"gen1": (304, 240), "1mpx": (1280, 720)}
LIMITS = {"gen1": (30, 10), "1mpx": (60, 20)}
CLASSES = ("car", "pedestrian", "two wheeler")
NOTHING = random_events(0, 0, 1)


def made_up(seed: int, rules: str) -> tuple[PropheseeBoxes, PropheseeBoxes]:
    """Integer labels around every limit and beyond every border, and detections near them with ties."""
    rng = np.random.default_rng(seed)
    width, height = SENSORS[rules]
    diagonal, side = LIMITS[rules]
    times = [500_000, 500_001, 700_000, 740_000, 790_001, 1_000_000, 1_500_000, 2_000_000]
    labels = boxes_at(np.sort(rng.choice(times, 80)))
    sizes = np.array(
        [
            (side, 3 * side),
            (side - 1, 90),
            (diagonal * 3 // 5, diagonal * 4 // 5),
            (diagonal * 3 // 5 - 1, diagonal * 4 // 5),
            (120, 80),
            (32, 32),
            (96, 96),
        ]
    )
    labels["w"], labels["h"] = sizes[rng.integers(0, len(sizes), 80)].T
    labels["x"], labels["y"] = rng.integers(-40, width, 80), rng.integers(-40, height, 80)
    labels["class_id"] = rng.integers(0, 3, 80)

    found = labels[rng.integers(0, 80, 400)].copy()
    found = found[found["t"] != 1_500_000]
    for name in "xywh":
        found[name] += rng.integers(-3, 4, len(found))
    found["t"] += rng.choice([0, 0, -50_000, 50_000, 50_001, -50_001, 30_000], len(found))
    found["class_confidence"] = rng.integers(1, 5, len(found)) / 8
    return labels, found[np.argsort(found["t"], kind="stable")]


@pytest.mark.parametrize("rules", ["gen1", "1mpx"])
@pytest.mark.parametrize("seed", range(3))
def test_synthetic_detections_score_like_the_reference(
    seed: int, rules: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco_eval, "IMAGES_AT_ONCE", 3)
    sensor = SENSORS[rules]
    data = [made_up(10 * seed + k, rules) for k in range(2)]
    truth = prepare_ground_truth(
        [InMemory(NOTHING, labels, sensor_size=sensor) for labels, _ in data], identity_map(CLASSES)
    )
    assert truth.protocol.name == rules
    done = evaluate_boxes(truth, [found for _, found in data], identity_map(CLASSES))
    images = [each for pair in data for each in reference.images(*pair, sensor, *LIMITS[rules])]
    assert done.score.images == len(images)
    assert any(not found for _, found in images), "an image without detections"
    assert any(len({box[5] for box in found}) < len(found) for _, found in images), "a tie"
    assert any(0 in box[:2] for truths, _ in images for box in truths), "a box at the border"
    assert asdict(done.score.metrics) == pytest.approx(reference.figures(images, [0, 1, 2]), abs=1e-9)
    assert 0.01 < (done.score.metrics.ap or 0) < 0.9
    for k, row in enumerate(done.score.classes):
        assert asdict(row.metrics) == pytest.approx(reference.figures(images, [k]), abs=1e-9)
    for curve in done.score.curves:
        expected = reference.curve(images, CLASSES.index(curve.name), reference.AREAS["all"], curve.iou)
        np.testing.assert_allclose(curve.precision, expected, atol=1e-9)


def test_curve_confidence_reaches_its_precision() -> None:
    """Three objects; boxes at 0.9 (hit), 0.6 (wrong), 0.3 (hit): a third at 0.9, two thirds at 0.3."""
    labels = boxes_at([600_000] * 3, x=[0, 50, 100])
    found = boxes_at([600_000] * 3, x=[0, 200, 50], class_confidence=[0.875, 0.625, 0.375])
    classes = identity_map(("car",))
    truth = prepare_ground_truth([InMemory(NOTHING, labels, sensor_size=(304, 240))], classes)
    curve = evaluate_boxes(truth, [found], classes).score.curves[0]
    assert (curve.name, curve.iou) == ("car", 0.5)
    assert curve.confidence[[0, 33, 34, 66, 67, 100]].tolist() == [0.875, 0.875, 0.375, 0.375, 0, 0]
    np.testing.assert_allclose(curve.precision[[0, 33, 34, 66, 67]], [1, 1, 2 / 3, 2 / 3, 0])


def test_limit_for_each_class_does_not_change_scores() -> None:
    rng = np.random.default_rng(0)
    found = boxes_at([600_000] * 500, x=rng.integers(0, 270, 500), class_id=rng.integers(0, 2, 500))
    found["class_confidence"] = rng.integers(1, 20, 500) / 32
    labels = found[::20].copy()
    data = [(labels, found)]
    images = [each for pair in data for each in reference.images(*pair, (304, 240))]
    classes = identity_map(CLASSES[:2])
    truth = prepare_ground_truth([InMemory(NOTHING, labels, sensor_size=(304, 240))], classes)
    figures = asdict(evaluate_boxes(truth, [found], classes).score.metrics)
    assert figures == pytest.approx(reference.figures(images, [0, 1]), abs=1e-9)
    (everything,) = pool_detections(frames_from_boxes(labels), found, 0)
    best = top_per_class(everything, 100)
    assert np.bincount(best.class_id).tolist() == [100, 100]
    assert best.confidence.min() >= np.sort(found["class_confidence"][found["class_id"] == 0])[-101]


def test_protocol_follows_the_sensor() -> None:
    names = [protocol_for_sensor(*size).name for size in ((304, 240), (640, 360), (640, 480), (1280, 720))]
    assert names == ["gen1", "gen1", "gen1", "1mpx"]


def test_mixed_sensors_require_an_explicit_protocol() -> None:
    both = [InMemory(NOTHING, boxes_at([600_000]), sensor_size=size) for size in SENSORS.values()]
    with pytest.raises(DatasetError, match=r"a sensor of 1280x720, but memory_td\.dat has 304x240"):
        prepare_ground_truth(both, identity_map(("car",)))
    assert prepare_ground_truth(both, identity_map(("car",)), PROTOCOLS["gen1"]).protocol.name == "gen1"


def test_protocol_none_keeps_all_boxes_at_exact_times() -> None:
    labels = boxes_at([0, 7], w=1, h=2)
    found = boxes_at([0, 7, 8], w=1, h=2)
    classes = identity_map(("car",))
    truth = prepare_ground_truth([InMemory(NOTHING, labels)], classes, PROTOCOLS["none"])
    done = evaluate_boxes(truth, [found], classes)
    assert (done.score.metrics.ap, done.score.classes[0].detected) == (pytest.approx(1), 2)


def test_detections_of_another_clock_are_rejected() -> None:
    classes = identity_map(("car",))
    truth = prepare_ground_truth([InMemory(NOTHING, boxes_at([600_000]))], classes)
    with pytest.raises(DatasetError, match="none of 1 detections is scored: expected times in microseconds"):
        evaluate_boxes(truth, [boxes_at([600])], classes)
    assert evaluate_boxes(truth, [boxes_at([])], classes).score.metrics.ap == 0


def test_unscored_classes_are_dropped_from_both_sides() -> None:
    dataset = ("pedestrian", "two wheeler", "car")
    labels = boxes_at([600_000, 700_000, 800_000], class_id=[0, 1, 2])
    found = boxes_at([600_000, 700_000, 800_000], class_id=[1, 0, 0])
    classes = match_classes(dataset, ("car", "pedestrian"))
    assert classes.names == ("pedestrian", "car")
    truth = prepare_ground_truth([InMemory(NOTHING, labels)], classes)
    assert [moment.t_us for moment in truth.frames[0]] == [600_000, 800_000]
    done = evaluate_boxes(truth, [found], classes)
    assert [(row.name, row.labelled, row.detected) for row in done.score.classes] == [
        ("pedestrian", 1, 1),
        ("car", 1, 1),
    ]
    assert done.score.metrics.ap == pytest.approx(1)
    with pytest.raises(DatasetError, match="no label of car is left"):
        prepare_ground_truth(
            [InMemory(NOTHING, labels[:1])], replace(classes, names=("car",), label_to_index=(-1, -1, 0))
        )
