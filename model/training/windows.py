"""Windows of T slices that end exactly at a label's time, run from rest or with the membranes carried.

Slices are half-open, so no event at or after a label's time is seen for it, and none is shifted. A label
earlier than its window is long gets blank slices for the time before the recording.

`reset`: every label has a window of its own, T slices counted back from it and run from rest, in the order
of time that the weights ask for. Windows of neighbouring labels may overlap.

`carry`: the recording is run once, oldest slice first, and at each label the last T slices are averaged. A
fixed grid would miss the labels, so each label is a boundary, and slices are counted back from it to the
label before. The slice after a label takes the remainder: it lasts 0.5 to 1.5 times slice_us, which spares
the membranes a step of its own for a microsecond of jitter. Where labels are closer than half a slice, it is
as short as they are. This stays causal: boundaries up to a label depend on labels up to it, never on a later
one, and frames on events before it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import torch
from torch import Tensor

from ingest.recording import Recording
from model.detector import Detector, StepOutput
from model.errors import ConfigError
from model.letterbox import Letterbox, prepare_frame
from model.training.past import Past

STATES = ("carry", "reset")


@dataclass(frozen=True, slots=True)
class Cut:
    """How the time before a label is cut: T slices of slice_us microseconds."""

    slices: int
    slice_us: int


@dataclass(frozen=True, slots=True)
class SliceRun:
    """One slice that was run; label_us: the label that it ends at, where it is the last one for it."""

    out: StepOutput
    label_us: int | None


class _Input:
    """Network input [1,P,h,w] of any slice not yet forgotten."""

    def __init__(self, detector: Detector, recording: Recording) -> None:
        self.past = Past(recording, detector.spec.representation)
        self._box = Letterbox.fit(*recording.sensor_size(), detector.spec)
        self._spec = detector.spec

    def between(self, t0_us: int, t1_us: int) -> Tensor:
        return prepare_frame(self.past.frame(t0_us, t1_us), self._box, self._spec)[None]


def run_reset(
    detector: Detector, recording: Recording, labels_us: Iterable[int], cut: Cut
) -> Iterator[SliceRun]:
    """A window from rest for each label; labels_us ascend and differ."""
    source = _Input(detector, recording)
    for label_us in labels_us:
        edges = range(label_us - cut.slices * cut.slice_us, label_us + 1, cut.slice_us)
        source.past.forget(edges[0])
        outputs = detector.window(torch.stack([source.between(*edge) for edge in pairwise(edges)]))
        for left, out in zip(range(cut.slices - 1, -1, -1), outputs, strict=True):
            yield SliceRun(out, None if left else label_us)


def run_carried(
    detector: Detector, recording: Recording, labels_us: Iterable[int], cut: Cut
) -> Iterator[SliceRun]:
    """One run through the recording up to the last label; labels_us ascend and differ.

    Raises:
        ConfigError: the weights run each window backwards, so that nothing can be carried.
    """
    if detector.spec.time_order != "oldest_first":
        raise ConfigError(
            f"{detector.spec.name} runs each window newest slice first: its membranes cannot be carried; "
            "evaluate with the state reset"
        )
    source = _Input(detector, recording)
    first_us, state = source.past.first_us(), detector.init_state()
    before_us: int | None = None
    for label_us in labels_us:
        for t0_us, t1_us in pairwise(carried_edges(before_us, label_us, first_us, cut)):
            source.past.forget(t0_us)
            out = detector.step(source.between(t0_us, t1_us), state)
            state = out.state
            yield SliceRun(out, label_us if t1_us == label_us else None)
        before_us = label_us


def carried_edges(before_us: int | None, label_us: int, first_us: int | None, cut: Cut) -> Iterable[int]:
    """Boundaries of the slices from the label before, or the recording's first event, up to a label."""
    if before_us is not None:
        slices = max((2 * (label_us - before_us) + cut.slice_us) // (2 * cut.slice_us), 1)
        return chain([before_us], range(label_us - (slices - 1) * cut.slice_us, label_us + 1, cut.slice_us))
    since = 0 if first_us is None else -((first_us - label_us) // cut.slice_us)
    return range(label_us - max(since, cut.slices) * cut.slice_us, label_us + 1, cut.slice_us)


RUNS = {"carry": run_carried, "reset": run_reset}
"""By the name of what becomes of the state."""
