"""Window runner: equal to loops by hand, and independent of events at or after a label."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from spikewatch.ingest.errors import GeometryError, TimeOrderError
from spikewatch.ingest.events import Events
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.network.base import HeadLogits
from spikewatch.model.training.datasets.event_history import EventHistory
from spikewatch.model.training.datasets.window_bounds import WindowSpec, stateful_boundaries
from spikewatch.model.training.evaluation.window_runner import (
    RUNNERS,
    LabelledRun,
    run_stateful,
    run_stateless,
)
from tests.model.training.support.fakes import (
    HEIGHT,
    WIDTH,
    Echo,
    InMemory,
    MemoryRecording,
    random_events,
    seeing_detector,
)

CUT = WindowSpec(slices=3, slice_us=100_000)
LABELS_US = (50_000, 320_000, 600_001, 700_000, 710_000)
"""Labels before the recording, in the first window, off any grid, a slice later, and within half a slice."""


@pytest.fixture(scope="module")
def real() -> Detector:
    return seeing_detector()


@pytest.fixture(scope="module")
def detector(real: Detector) -> Detector:
    return Echo(real.network, real.spec)


@pytest.fixture(scope="module")
def backwards(real: Detector) -> Detector:
    return Echo(real.network, replace(real.spec, time_order="newest_first"))


@pytest.fixture(scope="module")
def events() -> Events:
    return random_events(4000, 200_000, 900_000)


def frame(events: Events, t0_us: int, t1_us: int, detector: Detector) -> Tensor:
    """[1,P,h,w], drawn by NumPy: 127, or 0 or 255 by the last event of a pixel."""
    picture = np.full((1, HEIGHT, WIDTH), 127, np.uint8)
    for event in events[(events["t"] >= t0_us) & (events["t"] < t1_us)]:
        picture[0, event["y"], event["x"]] = 255 * event["p"]
    shown = preprocess(picture, Letterbox.fit(WIDTH, HEIGHT, detector.spec), detector.spec)
    return torch.from_numpy(shown)[None]


def logits(
    state: str,
    detector: Detector,
    events: Events,
    labels_us: Sequence[int] = LABELS_US,
    chunk: int = 1000,
    batch: int = 1,
) -> dict[int, list[HeadLogits]]:
    """Return label -> logits of its last T slices."""
    job = LabelledRun(InMemory(events, chunk=chunk), labels_us)
    found = {
        end.label_us: end.logits
        for ran in RUNNERS[state](detector, [job], CUT, batch)
        for end in ran.completed
    }
    assert list(found) == list(labels_us)
    assert all(len(at) == CUT.slices for at in found.values())
    return found


def same(a: Sequence[HeadLogits], b: Sequence[HeadLogits]) -> bool:
    return all(
        torch.equal(x, y) for one, other in zip(a, b, strict=True) for x, y in zip(one, other, strict=True)
    )


def test_stateless_windows_equal_a_loop_by_hand(
    detector: Detector, backwards: Detector, events: Events
) -> None:
    for model in (detector, backwards):
        found = logits("reset", model, events)
        for label_us in LABELS_US:
            edges = [label_us - 300_000, label_us - 200_000, label_us - 100_000, label_us]
            frames = torch.stack([frame(events, *edge, model) for edge in pairwise(edges)])
            assert same(found[label_us], [out.logits for out in model.run_window(frames)])
    assert not same(found[700_000], logits("reset", detector, events)[700_000]), "the order of time matters"


def test_stateful_windows_equal_a_loop_by_hand(detector: Detector, events: Events) -> None:
    edges = [-250_000, -150_000, -50_000, 50_000]
    edges += [120_000, 220_000, 320_000]  # 270 ms are three slices, the first of 70 ms
    edges += [400_001, 500_001, 600_001]
    edges += [700_000]  # 99.999 ms are one slice
    edges += [710_000]
    found = logits("carry", detector, events)
    state, outputs = detector.init_state(), []
    for edge in pairwise(edges):
        out = detector.step(frame(events, *edge, detector), state)
        state = out.state
        outputs.append(out.logits)
        if edge[1] in LABELS_US:
            assert same(found[edge[1]], outputs[-CUT.slices :]), edge
    afresh = logits("reset", detector, events)
    assert not same(found[600_001], afresh[600_001]), "what is carried must change the outcome"


@pytest.mark.parametrize("state", RUNNERS)
def test_events_at_or_after_a_label_have_no_effect(state: str, detector: Detector, events: Events) -> None:
    before = logits(state, detector, events)
    for label_us in LABELS_US:
        past = events[events["t"] < label_us]
        until = [each for each in LABELS_US if each <= label_us]
        others = random_events(3000, label_us, label_us + 10_000, seed=1)
        others["t"][0] = label_us
        for later in (others, others[:0], others[:1]):
            changed = logits(state, detector, np.concatenate([past, later]))
            assert all(same(before[each], changed[each]) for each in until), label_us
        assert all(same(at, before[each]) for each, at in logits(state, detector, events, until).items())
    one = events[events["t"] < 320_000][-1:].copy()
    one["t"], one["p"] = 319_999, 1 - one["p"]
    mixed = np.concatenate([events, one])
    changed = logits(state, detector, mixed[np.argsort(mixed["t"], kind="stable")])
    assert same(before[50_000], changed[50_000])
    assert not same(before[320_000], changed[320_000]), "an event just before a label is seen"


@pytest.mark.parametrize("state", RUNNERS)
def test_chunk_size_does_not_change_results(state: str, detector: Detector, events: Events) -> None:
    whole = logits(state, detector, events, chunk=5000)
    for chunk in (7, 999):
        assert all(same(at, whole[t]) for t, at in logits(state, detector, events, chunk=chunk).items())


def test_real_network_ignores_later_events(real: Detector, events: Events) -> None:
    """Membranes of a real network at two labels: reset, or carried from the first label to the second."""
    frames = [frame(events, t, t + 100_000, real) for t in range(0, 600_000, 100_000)]
    labels_us = (300_000, 600_000)
    afresh, carried = logits("reset", real, events, labels_us), logits("carry", real, events, labels_us)
    for label_us, part in zip(labels_us, (frames[:3], frames[3:]), strict=True):
        assert same(afresh[label_us], [out.logits for out in real.run_window(torch.stack(part))])
    assert same(carried[600_000], [out.logits for out in real.run_window(torch.stack(frames))][3:])
    assert same(carried[300_000], afresh[300_000])
    blind = logits("reset", real, events[:0], labels_us)
    assert not same(afresh[600_000], blind[600_000]), "the events must change the outcome"
    assert not same(carried[600_000], afresh[600_000]), "what is carried must change the outcome"


def test_label_before_the_recording_has_blank_slices(detector: Detector, events: Events) -> None:
    nothing = frame(events[:0], 0, 1, detector)
    blank = [out.logits for out in detector.run_window(torch.stack([nothing] * 3))]
    for state in RUNNERS:
        assert same(logits(state, detector, events)[50_000], blank)
        assert same(logits(state, detector, events[:0], [123_456])[123_456], blank)


def test_newest_first_weights_reject_carry(backwards: Detector, events: Events) -> None:
    with pytest.raises(ConfigError, match="cannot be carried"):
        logits("carry", backwards, events)


@pytest.mark.parametrize(
    "gap_us", [1, 49_999, 50_000, 99_999, 100_001, 149_999, 150_000, 250_000, 60_000_000]
)
def test_slices_between_labels_fill_the_gap_evenly(gap_us: int) -> None:
    edges = list(stateful_boundaries(7, 7 + gap_us, None, CUT))
    lengths = np.diff(edges)
    assert (edges[0], edges[-1]) == (7, 7 + gap_us)
    assert (lengths[1:] == CUT.slice_us).all()
    assert min(gap_us, 50_000) <= lengths[0] < 150_000


@pytest.mark.parametrize(
    ("first_us", "slices"), [(None, 3), (10**6, 3), (950_000, 3), (1, 10), (0, 10), (-1, 11)]
)
def test_slices_before_the_first_label_include_the_first_event(first_us: int | None, slices: int) -> None:
    edges = list(stateful_boundaries(None, 10**6, first_us, CUT))
    assert edges == [10**6 - k * CUT.slice_us for k in range(slices, -1, -1)]


def test_memory_is_bounded_by_the_window(detector: Detector) -> None:
    long = MemoryRecording(random_events(50_000, 0, 5_000_000))
    past = EventHistory(long, "polarity_counts")
    held = []
    for t_us in range(300_000, 5_000_000, 50_000):
        past.discard_before(t_us - 300_000)
        past.frame(t_us - 300_000, t_us)
        held.append(sum(len(chunk.events) for chunk in past._buffer))
    assert max(held) < 300 * 10 + 2 * 1000 + 500


def test_late_event_gets_its_arrival_time(detector: Detector) -> None:
    events = random_events(100, 0, 100_000)
    events["t"][60] = events["t"][50] - 10
    past = EventHistory(MemoryRecording(events, 25), "polarity_counts")
    edge_us = int(events["t"][55])
    assert past.frame(0, edge_us).sum() == (events["t"][:60] < edge_us).sum()
    assert past.frame(0, 200_000).sum() == 100


def test_damaged_events_are_rejected(detector: Detector, events: Events) -> None:
    off, late = events.copy(), events.copy()
    off["x"][100] = WIDTH
    late["t"][2000:] -= 1_500_000
    with pytest.raises(GeometryError, match=f"memory_td.dat: an event at x={WIDTH}"):
        list(run_stateless(detector, [LabelledRun(InMemory(off), [900_000])], WindowSpec(8, 100_000)))
    with pytest.raises(TimeOrderError, match=r"memory_td.dat: an event is .* us late"):
        list(run_stateful(detector, [LabelledRun(InMemory(late), [900_000])], CUT))
