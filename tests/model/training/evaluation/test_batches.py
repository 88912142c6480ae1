"""Batched evaluation equals single windows and recordings; a damaged label raises."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from spikewatch.ingest.events import Events
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError, DatasetError
from spikewatch.model.training.datasets.protocol import PROTOCOLS
from spikewatch.model.training.datasets.window_bounds import WindowSpec
from spikewatch.model.training.evaluation.evaluate import evaluate_recordings
from spikewatch.model.training.evaluation.window_runner import RUNNERS, CompletedWindow, LabelledRun
from tests.model.training.support.fakes import Echo, InMemory, boxes_at, random_events, seeing_detector

CUT = WindowSpec(slices=2, slice_us=100_000)
LABELS_US = ((300_000, 600_000, 650_000), (), (250_000,), (150_001, 700_000), (400_000, 500_000))


@pytest.fixture(scope="module")
def real() -> Detector:
    return seeing_detector()


def events(seed: int) -> Events:
    return random_events(1500, 0, 800_000, seed)


def run(state: str, detector: Detector, batch: int) -> dict[tuple[int, int], CompletedWindow]:
    jobs = [LabelledRun(InMemory(events(k)), labels_us) for k, labels_us in enumerate(LABELS_US)]
    slices, ends, shares = 0, {}, []
    for ran in RUNNERS[state](detector, jobs, CUT, batch):
        slices += len(ran.out.logits[0])
        assert len(ran.out.logits[0]) <= batch
        ends |= {(end.source, end.label_us): end for end in ran.completed}
        shares.append(ran.runs_done)
    assert shares == sorted(shares)
    assert sorted(ends) == [(k, t) for k, labels_us in enumerate(LABELS_US) for t in labels_us]
    assert slices == {"reset": 2 * 8, "carry": 7 + 3 + 7 + 5}[state]
    return ends


def same(a: Sequence[tuple[torch.Tensor, ...]], b: Sequence[tuple[torch.Tensor, ...]]) -> bool:
    return all(
        torch.equal(x, y) for one, two in zip(a, b, strict=True) for x, y in zip(one, two, strict=True)
    )


@pytest.mark.parametrize("state", RUNNERS)
def test_batch_size_does_not_change_results(state: str, real: Detector) -> None:
    """On dyadic weights, exactly; lanes end and are taken over at different times."""
    alone = run(state, real, 1)
    for batch in (2, 8):
        together = run(state, real, batch)
        assert all(same(together[key].logits, end.logits) for key, end in alone.items())
    assert not same(alone[0, 600_000].logits, alone[3, 700_000].logits)


def test_recording_starts_from_the_initial_state(real: Detector) -> None:
    """A recording behind a longer one sees nothing of it."""
    echo = Echo(real.network, real.spec)
    jobs = [LabelledRun(InMemory(events(k)), LABELS_US[k]) for k in (0, 3)]
    (alone,) = [
        e for ran in RUNNERS["carry"](echo, jobs[1:], CUT) for e in ran.completed if e.label_us == 700_000
    ]
    ends = [end for ran in RUNNERS["carry"](echo, jobs, CUT) for end in ran.completed if end.source == 1]
    assert same(ends[-1].logits, alone.logits)


@pytest.mark.parametrize("state", RUNNERS)
def test_scores_do_not_depend_on_the_batch_size(state: str, real: Detector) -> None:
    rng = np.random.default_rng(0)
    labels = [
        boxes_at(times, x=rng.integers(0, 60, len(times)), w=rng.integers(10, 60, len(times)))
        for times in LABELS_US
    ]
    data = [InMemory(events(k), each) for k, each in enumerate(labels)]
    results = [
        evaluate_recordings(real, data, CUT, state, protocol=PROTOCOLS["none"], batch=batch)
        for batch in (1, 4)
    ]
    one, four = results
    assert asdict(one.score.metrics) == asdict(four.score.metrics)
    assert one.cost == four.cost
    for a, b in zip(one.images, four.images, strict=True):
        assert (a.source, a.t_us) == (b.source, b.t_us)
        np.testing.assert_array_equal(a.detections.xywh, b.detections.xywh)
        np.testing.assert_array_equal(a.detections.confidence, b.detections.confidence)
    assert sum(len(image.detections) for image in one.images) > 10


def test_carried_state_changes_boxes_and_scores(real: Detector) -> None:
    """S5-ViT's carried state had, by a bug, no effect."""
    data = [InMemory(events(0), boxes_at(LABELS_US[0]))]
    reset, carried = (
        evaluate_recordings(real, data, CUT, state, protocol=PROTOCOLS["none"])
        for state in ("reset", "carry")
    )
    confidences = [[image.detections.confidence for image in each.images] for each in (reset, carried)]
    assert all(len(a) != len(b) or (a != b).any() for a, b in zip(*confidences, strict=True))
    assert reset.cost is not None
    assert carried.cost is not None
    assert reset.cost.firing_rate != carried.cost.firing_rate


@pytest.mark.parametrize("state", RUNNERS)
@pytest.mark.parametrize("label_us", [10_900_000, 7_200_000_000, (1 << 60) - 1])
def test_label_long_after_the_last_event_is_rejected(state: str, label_us: int, real: Detector) -> None:
    echo = Echo(real.network, real.spec)
    jobs = [LabelledRun(InMemory(events(0)), (300_000, label_us))]
    ran = []
    with pytest.raises(DatasetError, match=r"memory_td.dat: a label at .* but the last event is at 0\.\d+ s"):
        ran += list(RUNNERS[state](echo, jobs, CUT))
    silent = [LabelledRun(InMemory(events(0)), (300_000, 10_700_000))]
    assert len([end for each in RUNNERS[state](echo, silent, CUT) for end in each.completed]) == 2


def test_default_window_is_that_of_the_weights(real: Detector) -> None:
    """What a training loop calls."""
    detector = Detector(real.network, replace(real.spec, slices=2, slice_us=100_000))
    data = [InMemory(events(0), boxes_at([600_000]))]
    seen: list[float] = []
    done = evaluate_recordings(detector, data, progress=seen.append)
    assert (done.sources, done.score.images, len(seen)) == (1, 1, 2)
    assert done.cost is not None
    assert done.cost.windows == 1
    with pytest.raises(DatasetError, match="no recordings to score"):
        evaluate_recordings(detector, [])
    detector.network.train()
    try:
        with pytest.raises(ConfigError, match=r"is in training mode.*call network\.eval\(\)"):
            evaluate_recordings(detector, data)
    finally:
        detector.network.eval()
