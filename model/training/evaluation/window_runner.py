"""Window runner: runs windows of T slices that end exactly at the labels, with reset or carried state.

Slices are half-open, so a window contains no event at or after the time of its label. A label earlier than
the length of its window gets blank slices for the time before the recording.

`reset`: every label has its own window of T slices before it, run from the initial state in the time order
of the weights. Windows of neighbouring labels may overlap. A batch is several windows.

`carry`: each recording is run once, oldest slice first, and at each label the last T slices are averaged. A
fixed grid would miss the labels, so each label is a boundary, and slices are counted back from it to the
previous label. The first slice after a label takes the remainder: it lasts 0.5 to 1.5 times slice_us, so that
jitter of a microsecond does not add a step. It is shorter if labels are closer than half a slice. This is
causal: boundaries up to a label depend on labels up to it, and frames on events before it. A batch is one
slice of each of several recordings.

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
"""Maximum time from the last event of a recording to a label; a later label means damaged data."""


class LabelledRun(NamedTuple):
    """Recording to run, with the times of its labels in strictly ascending order."""

    recording: LabelledRecording
    labels_us: Sequence[int]


class CompletedWindow(NamedTuple):
    """Completed window: index of its run, time of its label, and logits of its T slices."""

    source: int
    label_us: int
    logits: list[HeadLogits]


@dataclass(frozen=True, slots=True)
class BatchStep:
    """Result of one step of a batch.

    Attributes:
        out: output of the network; each sample is one slice.
        completed: windows that this step completes.
        runs_done: number of runs that are done, with a fraction.
    """

    out: StepOutput
    completed: list[CompletedWindow]
    runs_done: float


class _SliceInput:
    """Network input [1,P,h,w] of the slices of a recording, unless their events were discarded."""

    def __init__(self, detector: Detector, recording: Recording) -> None:
        self.history = EventHistory(recording, detector.spec.representation)
        self._name = recording.path.name
        self._letterbox = Letterbox.fit(*recording.sensor_size(), detector.spec)
        self._spec = detector.spec

    def frame(self, t0_us: int, t1_us: int, label_us: int) -> Tensor:
        """Return the input of a slice before a label.

        Raises:
            DatasetError: the label is more than MAX_SILENCE_US after the last event.
        """
        frame = self.history.frame(t0_us, t1_us)
        if self.history.exhausted and label_us - (self.history.latest_us() or 0) > MAX_SILENCE_US:
            end_s = (self.history.latest_us() or 0) / 1e6
            raise DatasetError(
                f"{self._name}: a label at {label_us / 1e6:.3f} s, but the last event is at {end_s:.3f} s; "
                "the labels are damaged or belong to another recording"
            )
        return torch.from_numpy(preprocess(frame, self._letterbox, self._spec))[None]


def _iter_windows(
    detector: Detector, runs: Iterable[LabelledRun], window_spec: WindowSpec
) -> Iterator[tuple[int, int, Tensor, float]]:
    """Yield (run, label, frames [T,1,P,h,w], runs done), with one open recording at a time."""
    for index, run in enumerate(runs):
        if not run.labels_us:
            continue
        with run.recording.open() as recording:
            source = _SliceInput(detector, recording)
            for label_us in run.labels_us:
                edges = range(
                    label_us - window_spec.slices * window_spec.slice_us, label_us + 1, window_spec.slice_us
                )
                source.history.discard_before(edges[0])
                frames = torch.stack([source.frame(*edge, label_us) for edge in pairwise(edges)])
                yield index, label_us, frames, index + recording.progress()


def run_stateless(
    detector: Detector, runs: Sequence[LabelledRun], window_spec: WindowSpec, batch: int = 1
) -> Iterator[BatchStep]:
    """Run a window from the initial state for each label, `batch` windows at a time."""
    windows = _iter_windows(detector, runs, window_spec)
    while group := list(islice(windows, batch)):
        outputs = detector.run_window(torch.cat([frames for _, _, frames, _ in group], 1))
        completed = [
            CompletedWindow(index, label_us, [select_sample(out.logits, row) for out in outputs])
            for row, (index, label_us, _, _) in enumerate(group)
        ]
        for remaining, out in zip(range(window_spec.slices - 1, -1, -1), outputs, strict=True):
            yield BatchStep(out, [] if remaining else completed, group[-1][3])


class _RecordingStream:
    """Stream of the slices of one recording, from its first slice to its last label."""

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
        """Yield the input [1,P,h,w] of each slice, and the label at its end, or None."""
        first_us, before_us = source.history.first_us(), None
        for label_us in labels_us:
            for t0_us, t1_us in pairwise(stateful_boundaries(before_us, label_us, first_us, window_spec)):
                source.history.discard_before(t0_us)
                yield source.frame(t0_us, t1_us, label_us), label_us if t1_us == label_us else None
            before_us = label_us

    def advance(self) -> bool:
        """Read the next slice. Returns False and closes the file after the last slice."""
        next_slice = next(self._slices, None)
        if next_slice is None:
            self._files.close()
            return False
        self.frame, self._ends_at_us = next_slice
        return True

    def add_logits(self, logits: HeadLogits) -> list[CompletedWindow]:
        """Store the logits of the current slice, and return the window that ends with it, if any."""
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
    """Run each recording once up to its last label, `batch` recordings in parallel.

    Raises:
        ConfigError: the weights run each window backwards, so membranes cannot be carried.
    """
    if detector.spec.time_order != "oldest_first":
        raise ConfigError(
            f"{detector.spec.name} runs each window newest slice first: its membranes cannot be carried; "
            "use state reset"
        )
    waiting = deque(enumerate(runs))
    streams: list[_RecordingStream] = []
    state = detector.init_state(0)
    with ExitStack() as files:
        while streams or waiting:
            kept = [row for row, stream in enumerate(streams) if stream.advance()]
            started: list[_RecordingStream] = []
            while waiting and len(kept) + len(started) < batch:
                stream = _RecordingStream(*waiting.popleft(), detector, window_spec, files)
                started += [stream] if stream.advance() else []
            if started or len(kept) < len(streams):
                state = _stack_states(state, kept, detector.init_state(len(started)))
                streams = [streams[row] for row in kept] + started
            if not streams:
                return
            out = detector.step(torch.cat([stream.frame for stream in streams]), state)
            state = out.state
            completed = [
                window
                for row, stream in enumerate(streams)
                for window in stream.add_logits(select_sample(out.logits, row))
            ]
            runs_done = len(runs) - len(waiting) - len(streams) + sum(stream.progress() for stream in streams)
            yield BatchStep(out, completed, runs_done)


def select_sample(logits: HeadLogits, row: int) -> HeadLogits:
    """Return the logits of one sample, with a batch axis of one."""
    p3, p4, p5 = (level[row : row + 1] for level in logits)
    return p3, p4, p5


def _stack_states(state: State, kept: Sequence[int], initial: State) -> State:
    """Return the kept rows of a state, followed by the initial rows."""
    index = torch.tensor(kept, dtype=torch.long)
    return {name: torch.cat((h[index.to(h.device)], initial[name])) for name, h in state.items()}


RUNNERS = {"carry": run_stateful, "reset": run_stateless}
"""State mode -> runner."""
