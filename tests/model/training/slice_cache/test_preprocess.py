"""Preprocessing: half slices equal the input of evaluation."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.model.checkpoints.checkpoint import untrained_network
from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.errors import ConfigError
from spikewatch.model.letterbox import Letterbox
from spikewatch.model.network.base import Network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.step import State
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.input_boxes import (
    InputBoxes,
    TrainingBoxFilter,
    labels_to_input_boxes,
    quantisation_levels,
)
from spikewatch.model.training.datasets.window_bounds import WindowSpec
from spikewatch.model.training.evaluation.window_runner import LabelledRun, run_stateful
from spikewatch.model.training.slice_cache.preprocess import Preprocessor, label_times
from tests.model.training.support.fakes import HEIGHT, WIDTH, InMemory, MemoryRecording, random_events
from tests.model.training.support.moving_boxes import small_spec

LABELS_US = (5_000, 32_000, 60_001, 71_000, 140_000)
"""Labels before the recording, off any grid, little more than a slice later, and after a long gap."""


class Listener(Detector):
    """Detector that records its input frames."""

    def __init__(self, network: Network, spec: ModelSpec) -> None:
        super().__init__(network, spec)
        self.shown: list[Tensor] = []

    def step(self, frames: Tensor, state: State, exact: bool = False) -> StepOutput:
        self.shown.append(frames[0])
        return StepOutput((frames, frames, frames), state, {}, {})


def shown(events: Events, network: Network, spec: ModelSpec) -> tuple[Tensor, list[int]]:
    """Return the input of evaluation, and the slices that end at a label."""
    listener = Listener(network, spec)
    runs = run_stateful(
        listener, [LabelledRun(InMemory(events), LABELS_US)], WindowSpec(spec.slices, spec.slice_us)
    )
    ends = [k for k, ran in enumerate(runs) if ran.completed]
    return torch.stack(listener.shown), ends


@pytest.fixture(scope="module")
def events() -> Events:
    return random_events(20_000, 20_000, 150_000)


@pytest.fixture(scope="module")
def network() -> Network:
    return untrained_network(small_spec().config)


@pytest.mark.parametrize("rule", ["sum", "per_side"])
@pytest.mark.parametrize("size", [(64, 96), (32, 32), (128, 160)])
def test_slices_equal_those_of_evaluation(
    size: tuple[int, int], rule: str, events: Events, network: Network
) -> None:
    """Sensor 90x60: scaled to 96x64 and 32x21, and up to 160x107."""
    spec = small_spec(input_height=size[0], input_width=size[1], count_rule=rule)
    cutter = Preprocessor(MemoryRecording(events), LABELS_US, spec)
    halves = np.stack(list(cutter.half_slices())).astype(int)
    joined = (halves[::2] + halves[1::2]).clip(0, quantisation_levels(spec))
    expected, ends = shown(events, network, spec)
    assert joined.any()
    assert cutter.grid.labelled.tolist() == ends
    assert cutter.grid.edges_us[cutter.grid.labelled + 1].tolist() == list(LABELS_US)
    assert np.abs(joined - expected.numpy() * quantisation_levels(spec)).max() <= 1.001


def test_integer_counts_stay_exact() -> None:
    spec = small_spec(input_height=64, input_width=96, count_cap=5)
    events = np.repeat(random_events(800, 0, 40_000), 3)
    cutter = Preprocessor(Sized(events), [20_000, 40_000], spec)
    halves = list(cutter.half_slices())
    edges = np.linspace(0, 40_000, len(halves) + 1)
    assert len(halves) == 8
    assert quantisation_levels(spec) == 255
    for half, (t0_us, t1_us) in zip(halves, pairwise(edges.tolist()), strict=True):
        counts = np.zeros((2, 64, 96), int)
        for event in events[(events["t"] >= t0_us) & (events["t"] < t1_us)]:
            counts[event["p"], event["y"], event["x"]] += 1
        np.testing.assert_array_equal(half, counts.clip(0, 5) * 51)
        assert counts.max() >= 3


class Sized(MemoryRecording):
    """The sensor is as large as the input."""

    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self.width, self.height = 96, 64


def test_no_event_at_or_after_a_label_is_in_its_slices(events: Events) -> None:
    spec, until_us = small_spec(), LABELS_US[2]
    late = events["t"] >= until_us
    moved = events.copy()
    moved["x"][late] = WIDTH - 1 - moved["x"][late]
    cuts = [Preprocessor(MemoryRecording(each), LABELS_US, spec) for each in (events, moved)]
    halves = [np.stack(list(each.half_slices())) for each in cuts]
    end = 2 * (int(cuts[0].grid.labelled[2]) + 1)
    np.testing.assert_array_equal(halves[0][:end], halves[1][:end])
    assert not np.array_equal(halves[0][end : end + 2], halves[1][end : end + 2])


def test_recording_without_events_has_blank_slices() -> None:
    cutter = Preprocessor(MemoryRecording(np.zeros(0, EVENT_DTYPE)), [5_000], small_spec(slices=3))
    halves = np.stack(list(cutter.half_slices()))
    assert cutter.grid.edges_us.tolist() == [-25_000, -15_000, -5_000, 5_000]
    assert halves.shape == (6, 2, 64, 96)
    assert not halves.any()


def labels_at(*times_us: int) -> PropheseeBoxes:
    boxes = np.zeros(len(times_us), BBOX_DTYPE)
    boxes["t"] = times_us
    return boxes


def test_labels_closer_than_the_gap_are_dropped() -> None:
    labels = np.array([100, 150, 190, 200, 260, 1000])
    assert label_times(labels, 100) == [100, 200, 1000]
    assert label_times(labels, 0) == [100, 150, 190, 200, 260, 1000]
    assert label_times(labels[:0], 100) == []


def test_boxes_are_cropped_and_mapped_to_the_input() -> None:
    labels = labels_at(10, 10, 20, 30, 30)
    labels["x"], labels["y"] = [-10, 80, 30, 200, 5], [10, 50, 20, 10, 5]
    labels["w"], labels["h"], labels["class_id"] = 20, [30, 30, 10, 10, 0], [0, 1, 1, 0, 0]
    spec = small_spec(input_height=128, input_width=128)
    box = Letterbox.fit(WIDTH, HEIGHT, spec)
    found = labels_to_input_boxes(labels, np.array([10, 30]), box, WIDTH, HEIGHT)
    scale, top = 128 / 90, (128 - 85) // 2
    expected = [[0, 10, 10, 40], [80, 50, 90, 60], [90, 10, 90, 20], [5, 5, 25, 5]]
    expected_px = [
        [x0 * scale, y0 * 85 / 60 + top, x1 * scale, y1 * 85 / 60 + top] for x0, y0, x1, y1 in expected
    ]
    np.testing.assert_allclose(found.boxes.xyxy, expected_px, atol=1e-4)
    assert [found.at_label(i).class_id.tolist() for i in range(2)] == [[0, 1], [0, 0]]


def test_small_and_mostly_hidden_boxes_are_dropped() -> None:
    xyxy = np.array(
        [[0, 0, 3, 8], [0, 0, 2.9, 20], [0, 0, 5, 6], [0, 0, 20, 20], [0, 0, 20, 20], [0, 0, 0, 20]],
        np.float32,
    )
    boxes = InputBoxes(xyxy, np.zeros(6, np.int64))
    area = np.array([24, 58, 30, 400, 400, 0], np.float32)
    whole = area * np.array([1, 1, 1, 3.3, 3.4, 1], np.float32)
    assert TrainingBoxFilter().mask(boxes, area, whole).tolist() == [True, False, False, True, False, False]
    assert TrainingBoxFilter(0, 0, 0).mask(boxes, area, whole).tolist() == [True] * 5 + [False]


def test_unsupported_representations_are_rejected() -> None:
    seeing = ModelSpec("seeing", SpikeYOLOConfig(in_channels=3, classes=2), representation="latest_polarity")
    for spec, words in ((seeing, "latest_polarity"), (small_spec(count_cap=256), "count_cap 256")):
        with pytest.raises(ConfigError, match=words):
            quantisation_levels(spec)
