"""Detection in a recording without a server: the same engine, windows and results."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from spikewatch.ingest.recording import Recording
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.model.checkpoints.checkpoint import weights_digest
from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.service.inference.serialize import window_message
from spikewatch.service.inference.slice_runner import SliceRunner
from spikewatch.service.inference.sources import DropCounter, RecordingSource, SensorSize
from spikewatch.service.inference.totals import TotalsAccumulator
from spikewatch.service.inference.window import WindowOptions, WindowResult
from spikewatch.service.schemas import Summary, Window


class OfflineSource(DropCounter, Protocol):
    """Slices from beginning to end. The sensor size is known before the first of them."""

    @property
    def sensor_size(self) -> SensorSize:
        """Width and height in pixels, None while unknown."""

    @property
    def format(self) -> str:
        """Format of the events."""

    def slices(self) -> Iterator[Slice]:
        """Yield all slices, with the last, unfinished one."""


@dataclass(frozen=True, slots=True)
class OfflineStep:
    """One slice and the results that it completed.

    Attributes:
        slice_: the slice; None at the end, for a last, unfinished window.
        results: results as computed.
        windows: the same results as messages.
    """

    slice_: Slice | None
    results: list[WindowResult]
    windows: list[Window]


class OfflineRun:
    """Iterates over a recording. `totals` grows meanwhile; `summary()` is complete at the end."""

    def __init__(self, source: OfflineSource, detector: Detector, options: WindowOptions) -> None:
        self._source = source
        self._detector = detector
        self._options = options
        self.totals = TotalsAccumulator()
        self._stopped = False

    def __iter__(self) -> Iterator[OfflineStep]:
        """Run all slices in order; membranes carry over from slice to slice."""
        runner: SliceRunner | None = None
        for slice_ in self._source.slices():
            runner = runner or SliceRunner(self._detector, self._known_size(), self._options)
            yield self._record(slice_, runner.run(slice_))
            if self._stopped:
                break
        rest = [] if runner is None else runner.flush()
        if rest:
            yield self._record(None, rest)

    def _known_size(self) -> tuple[int, int]:
        width, height = self._source.sensor_size
        assert width is not None, "slices have a sensor size"
        assert height is not None, "slices have a sensor size"
        return width, height

    def stop(self) -> None:
        """Stop after the current slice, as if the recording ended there."""
        self._stopped = True

    def summary(self) -> Summary:
        """Return the totals of all slices run so far."""
        spec, (width, height) = self._detector.spec, self._source.sensor_size
        return Summary(
            **self.totals.to_schema(self._source).model_dump(),
            format=self._source.format,
            width=width,
            height=height,
            t_start_us=self.totals.t_start_us,
            t_end_us=self.totals.t_end_us,
            model=spec.name,
            digest=weights_digest(self._detector.network),
            training=spec.training,
            interrupted=self._stopped,
        )

    def _record(self, slice_: Slice | None, results: list[WindowResult]) -> OfflineStep:
        spec = self._detector.spec
        for result in results:
            self.totals.add(result)
        return OfflineStep(
            slice_, results, [window_message(r, spec.class_names, spec.training) for r in results]
        )


ProgressCallback = Callable[[float], None]


def run_recording(
    detector: Detector, recording: Recording, window_slices: int, slice_us: int, on_progress: ProgressCallback
) -> Iterator[StepOutput]:
    """Yield the output of every slice of a recording, in the time order of the weights."""
    detector.spec.check_input(events=True, name=recording.path.name)
    slices = RecordingSource(recording, slice_us, detector.spec.representation).slices()
    letterbox = Letterbox.fit(*recording.sensor_size(), detector.spec)
    if detector.spec.time_order == "oldest_first":
        outputs = _run_stateful(detector, slices, letterbox)
    else:
        outputs = _run_windows(detector, slices, letterbox, window_slices)
    for out in outputs:
        yield out
        on_progress(recording.progress())


def _run_stateful(detector: Detector, slices: Iterator[Slice], letterbox: Letterbox) -> Iterator[StepOutput]:
    state = detector.init_state()
    for slice_ in slices:
        previous = detector.init_state() if slice_.discontinuity else state
        out = detector.step(preprocess(slice_.frame, letterbox, detector.spec)[None], previous, exact=True)
        state = out.state
        yield out


def _run_windows(
    detector: Detector, slices: Iterator[Slice], letterbox: Letterbox, window_slices: int
) -> Iterator[StepOutput]:
    window: list[torch.Tensor] = []
    for slice_ in slices:
        if window and (slice_.discontinuity or len(window) == window_slices):
            yield from detector.run_window(torch.stack(window), exact=True)
            window = []
        window.append(preprocess(slice_.frame, letterbox, detector.spec)[None])
    if window:
        yield from detector.run_window(torch.stack(window), exact=True)
