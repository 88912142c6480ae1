"""False boxes a second at labelled times without objects."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from spikewatch.ingest.events import Events
from spikewatch.model.detections import Detections
from spikewatch.model.detector import DEFAULT_CONFIDENCE, DEFAULT_IOU, Detector
from spikewatch.model.errors import DatasetError
from spikewatch.model.network.base import HeadLogits
from spikewatch.model.training.datasets.protocol import PROTOCOLS
from spikewatch.model.training.datasets.window_bounds import WindowSpec
from spikewatch.model.training.evaluation.evaluate import evaluate_recordings
from spikewatch.model.training.evaluation.window_runner import RUNNERS, LabelledRun
from spikewatch.service.schemas import WindowRequest
from tests.model.training.support.fakes import InMemory, boxes_at, random_events, seeing_detector

CUT = WindowSpec(slices=2, slice_us=50_000)
EMPTY_US = (200_000, 650_000, 700_000)


class Confident(Detector):
    """Detector that is surer of all boxes; untrained weights give none above the default confidence."""

    def postprocess(
        self,
        logits: Sequence[HeadLogits],
        sensor_size: tuple[int, int],
        t_us: int,
        confidence: float = DEFAULT_CONFIDENCE,
        iou: float = DEFAULT_IOU,
    ) -> Detections:
        surer = [tuple(_raise_classes(level) for level in of_slice) for of_slice in logits]
        return super().postprocess(surer, sensor_size, t_us, confidence, iou)  # type: ignore[arg-type]


def _raise_classes(level):  # type: ignore[no-untyped-def]
    level = level.clone()
    level[:, 64:] += 4 * level[:, 64:].std() - level[:, 64:].mean() - 1
    return level


@pytest.fixture(scope="module")
def detector() -> Detector:
    real = seeing_detector()
    return Confident(real.network, real.spec)


def events(seed: int) -> Events:
    return random_events(1500, 0, 800_000, seed)


@pytest.mark.parametrize("state", RUNNERS)
def test_boxes_at_empty_times_equal_a_loop_by_hand(state: str, detector: Detector) -> None:
    """At 650 and 700 ms only: the protocol of Gen1 skips the first half second."""
    data = [
        InMemory(events(1), boxes_at((600_000,)), empty_us=EMPTY_US),
        InMemory(events(2), boxes_at((550_000, 750_000))),
    ]
    done = evaluate_recordings(detector, data, CUT, state, protocol=PROTOCOLS["gen1"], batch=2)
    run = LabelledRun(data[0], [600_000, *EMPTY_US[1:]])
    expected = sum(
        len(detector.postprocess(window.logits, data[0].sensor_size, window.label_us))
        for step in RUNNERS[state](detector, [run], CUT)
        for window in step.completed
        if window.label_us in EMPTY_US
    )
    found = done.false_boxes
    assert found is not None
    assert (found.boxes, found.moments, found.window_us) == (expected, 2, 100_000)
    assert expected > 0
    assert found.per_second == pytest.approx(expected / 2 * 10)
    assert [image.t_us for image in done.images] == [600_000, 550_000, 750_000], "no image without a label"
    plain = evaluate_recordings(
        detector, [replace(data[0], empty_us=()), data[1]], CUT, state, protocol=PROTOCOLS["gen1"]
    )
    assert plain.false_boxes is None


def test_recordings_without_any_box_are_scored_by_false_boxes(detector: Detector) -> None:
    data = [InMemory(events(1), empty_us=EMPTY_US)]
    done = evaluate_recordings(detector, data, CUT, protocol=PROTOCOLS["none"])
    assert done.score.metrics.ap is None
    assert done.false_boxes is not None
    assert done.false_boxes.moments == 3
    with pytest.raises(DatasetError, match="no label of"):
        evaluate_recordings(detector, [InMemory(events(1))], CUT, protocol=PROTOCOLS["none"])


def test_default_thresholds_are_those_of_the_service() -> None:
    assert (WindowRequest().confidence, WindowRequest().iou) == (DEFAULT_CONFIDENCE, DEFAULT_IOU)
