"""Windows of T slices that end exactly at a label's time, run from rest or with the membranes carried.

Slices are half-open, so no event at or after a label's time is seen for it, and none is shifted. A label
earlier than its window is long gets blank slices for the time before the recording.

`reset`: every label has a window of its own, T slices counted back from it and run from rest, in the order
of time that the weights ask for. Windows of neighbouring labels may overlap. A batch is several windows.

`carry`: each recording is run once, oldest slice first, and at each label the last T slices are averaged. A
fixed grid would miss the labels, so each label is a boundary, and slices are counted back from it to the
label before. The slice after a label takes the remainder: it lasts 0.5 to 1.5 times slice_us, which spares
the membranes a step of its own for a microsecond of jitter. Where labels are closer than half a slice, it is
as short as they are. This stays causal: boundaries up to a label depend on labels up to it, never on a later
one, and frames on events before it. A batch is one slice of each of several recordings.

Shapes: T slices, B batch, P channels, h and w input pixels.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from spikewatch.ingest.recording import Recording
from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.errors import ConfigError, DatasetError
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.step import State
from spikewatch.model.training.datasets.event_history import EventHistory
from spikewatch.model.training.datasets.labelled_recording import LabelledRecording
from spikewatch.model.training.datasets.window_bounds import WindowSpec, stateful_boundaries

STATE_MODES = ("carry", "reset")

MAX_SILENCE_US = 10_000_000
"""Labels later than this after a recording's last event are damage, not silence."""


class LabelledRun(NamedTuple):
    """A recording to run, and the times of its labels, which ascend and differ."""

    recording: LabelledRecording
    labels_us: Sequence[int]


class CompletedWindow(NamedTuple):
    """A window that is complete: of which job, at which label, and the logits of its T slices."""

    source: int
    label_us: int
    logits: list[HeadLogits]


@dataclass(frozen=True, slots=True)
class BatchStep:
    """One step of a batch that was run.

    Attributes:
        out: of the network; each sample is a slice.
        completed: windows that it completes.
        runs_done: how many jobs are done, with a fraction.
    """

    out: StepOutput
    completed: list[CompletedWindow]
    runs_done: float


class _SliceInput:
    """Network input [1,P,h,w] of any slice not yet forgotten."""

    def __init__(self, detector: Detector, recording: Recording) -> None:
        self.history = EventHistory(recording, detector.spec.representation)
        self._name = recording.path.name
        self._letterbox = Letterbox.fit(*recording.sensor_size(), detector.spec)
        self._spec = detector.spec

    def frame(self, t0_us: int, t1_us: int, label_us: int) -> Tensor:
        """A slice on the way to a label, which must not lie far beyond the recording."""
        frame = self.history.frame(t0_us, t1_us)
        if self.history.exhausted and label_us - (self.history.latest_us() or 0) > MAX_SILENCE_US:
            end_s = (self.history.latest_us() or 0) / 1e6
            raise DatasetError(
                f"{self._name}: a label at {label_us / 1e6:.3f} s, but the last event is at {end_s:.3f} s; "
                "the labels are damaged or belong to another recording"
            )
        return preprocess(frame, self._letterbox, self._spec)[None]


def _iter_windows(
    detector: Detector, runs: Iterable[LabelledRun], window_spec: WindowSpec
) -> Iterator[tuple[int, int, Tensor, float]]:
    """(job, label, frames [T,1,P,h,w], jobs done), one recording open at a time."""
    for index, job in enumerate(runs):
        if not job.labels_us:
            continue
        with job.recording.open() as recording:
            source = _SliceInput(detector, recording)
            for label_us in job.labels_us:
                edges = range(
                    label_us - window_spec.slices * window_spec.slice_us, label_us + 1, window_spec.slice_us
                )
                source.history.discard_before(edges[0])
                frames = torch.stack([source.frame(*edge, label_us) for edge in pairwise(edges)])
                yield index, label_us, frames, index + recording.progress()


def run_stateless(
    detector: Detector, runs: Sequence[LabelledRun], window_spec: WindowSpec, batch: int = 1
) -> Iterator[BatchStep]:
    """A window from rest for each label, `batch` windows at a time."""
    windows = _iter_windows(detector, runs, window_spec)
    while group := list(islice(windows, batch)):
        outputs = detector.run_window(torch.cat([frames for _, _, frames, _ in group], 1))
        ends = [
            CompletedWindow(index, label_us, [select_sample(out.logits, row) for out in outputs])
            for row, (index, label_us, _, _) in enumerate(group)
        ]
        for left, out in zip(range(window_spec.slices - 1, -1, -1), outputs, strict=True):
            yield BatchStep(out, [] if left else ends, group[-1][3])


class _RecordingStream:
    """One recording that is run from its first slice to its last label."""

    def __init__(
        self, source: int, run: LabelledRun, detector: Detector, window_spec: WindowSpec, files: ExitStack
    ) -> None:
        self.source = source
        self._files = files.enter_context(ExitStack())
        self._recording = self._files.enter_context(run.recording.open())
        self._slices = self._iter_slices(_SliceInput(detector, self._recording), run.labels_us, window_spec)
        self._recent: deque[HeadLogits] = deque(maxlen=window_spec.slices)
        self.frame = detector.blank_frames()
        self._ends_at_us: int | None = None

    def _iter_slices(
        self, source: _SliceInput, labels_us: Sequence[int], window_spec: WindowSpec
    ) -> Iterator[tuple[Tensor, int | None]]:
        """Input [1,P,h,w] of each slice, and the label that it ends at."""
        first_us, before_us = source.history.first_us(), None
        for label_us in labels_us:
            for t0_us, t1_us in pairwise(stateful_boundaries(before_us, label_us, first_us, window_spec)):
                source.history.discard_before(t0_us)
                yield source.frame(t0_us, t1_us, label_us), label_us if t1_us == label_us else None
            before_us = label_us

    def advance(self) -> bool:
        """Draw the next slice; False, and the file closed, if there is none."""
        drawn = next(self._slices, None)
        if drawn is None:
            self._files.close()
            return False
        self.frame, self._ends_at_us = drawn
        return True

    def add_logits(self, logits: HeadLogits) -> list[CompletedWindow]:
        """Keep the logits of the slice; the window that ends with it, if one does."""
        self._recent.append(logits)
        return (
            []
            if self._ends_at_us is None
            else [CompletedWindow(self.source, self._ends_at_us, list(self._recent))]
        )

    def progress(self) -> float:
        return self._recording.progress()


def run_stateful(
    detector: Detector, runs: Sequence[LabelledRun], window_spec: WindowSpec, batch: int = 1
) -> Iterator[BatchStep]:
    """One run through each recording up to its last label, `batch` recordings side by side.

    Raises:
        ConfigError: the weights run each window backwards, so that nothing can be carried.
    """
    if detector.spec.time_order != "oldest_first":
        raise ConfigError(
            f"{detector.spec.name} runs each window newest slice first: its membranes cannot be carried; "
            "evaluate with the state reset"
        )
    waiting = deque(enumerate(runs))
    lanes: list[_RecordingStream] = []
    state = detector.init_state(0)
    with ExitStack() as files:
        while lanes or waiting:
            kept = [row for row, lane in enumerate(lanes) if lane.advance()]
            fresh: list[_RecordingStream] = []
            while waiting and len(kept) + len(fresh) < batch:
                lane = _RecordingStream(*waiting.popleft(), detector, window_spec, files)
                fresh += [lane] if lane.advance() else []
            if fresh or len(kept) < len(lanes):
                state = _stack_states(state, kept, detector.init_state(len(fresh)))
                lanes = [lanes[row] for row in kept] + fresh
            if not lanes:
                return
            out = detector.step(torch.cat([lane.frame for lane in lanes]), state)
            state = out.state
            ends = [
                end
                for row, lane in enumerate(lanes)
                for end in lane.add_logits(select_sample(out.logits, row))
            ]
            done = len(runs) - len(waiting) - len(lanes) + sum(lane.progress() for lane in lanes)
            yield BatchStep(out, ends, done)


def select_sample(logits: HeadLogits, row: int) -> HeadLogits:
    """The logits of one sample, still with a batch axis."""
    p3, p4, p5 = (level[row : row + 1] for level in logits)
    return p3, p4, p5


def _stack_states(state: State, kept: Sequence[int], initial: State) -> State:
    """Some rows of a state, and fresh ones after them."""
    index = torch.tensor(kept, dtype=torch.long)
    return {name: torch.cat((h[index.to(h.device)], initial[name])) for name, h in state.items()}


RUNNERS = {"carry": run_stateful, "reset": run_stateless}
"""By the name of what becomes of the state."""
