"""A recording through the detector without a server: the same engine, windows and results."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from spikewatch.ingest.recording import Recording
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.model.checkpoints.checkpoint import weights_digest
from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.service.errors import StepFailed
from spikewatch.service.inference.engine import Engine, SequenceState
from spikewatch.service.inference.serialize import window_message
from spikewatch.service.inference.sources import RecordingSource
from spikewatch.service.inference.totals import TotalsAccumulator
from spikewatch.service.inference.window import WindowOptions, WindowResult, prepare_slice
from spikewatch.service.schemas import Summary, Window


@dataclass(frozen=True, slots=True)
class OfflineStep:
    """One slice, and the results that it completed.

    Attributes:
        slice_: the slice; None at the very end, when only an unfinished window was left.
        results: as they are computed.
        windows: the same as they are written.
    """

    slice_: Slice | None
    results: list[WindowResult]
    windows: list[Window]


class OfflineRun:
    """Iterates over a recording; `totals` grows on the way, `summary()` is complete at the end."""

    def __init__(self, source: RecordingSource, detector: Detector, options: WindowOptions) -> None:
        self._source = source
        self._detector = detector
        self._engine = Engine(detector, 1)
        self._sensor_size = source.recording.sensor_size()
        self._sequence = SequenceState(0, detector, self._sensor_size, options)
        self.totals = TotalsAccumulator()
        self._stopped = False

    def __iter__(self) -> Iterator[OfflineStep]:
        """Run every slice in turn, the membranes carried from one to the next."""
        box = Letterbox.fit(*self._sensor_size, self._detector.spec)
        for part in self._source.slices():
            before = self._engine.finish_and_reset(self._sequence) if part.discontinuity else []
            ready = prepare_slice(part, box, self._detector.spec, time.monotonic())
            batch = self._engine.run([(self._sequence, ready)])
            if not batch.healthy[0]:
                raise StepFailed(
                    f"the network gave no finite logits at {part.t1_us / 1e6:.3f} s; bad weights?"
                )
            yield self._record(part, before + batch.windows[0])
            if self._stopped:
                break
        rest = self._engine.flush(self._sequence)
        if rest:
            yield self._record(None, rest)

    def stop(self) -> None:
        """End after the slice under way, as if the recording ended there."""
        self._stopped = True

    def summary(self) -> Summary:
        """Sums over everything run so far."""
        spec, recording = self._detector.spec, self._source.recording
        return Summary(
            **self.totals.to_schema(self._source).model_dump(),
            format=recording.format,
            width=recording.width,
            height=recording.height,
            t_start_us=self.totals.t_start_us,
            t_end_us=self.totals.t_end_us,
            model=spec.name,
            digest=weights_digest(self._detector.network),
            training=spec.training,
            interrupted=self._stopped,
        )

    def _record(self, part: Slice | None, results: list[WindowResult]) -> OfflineStep:
        spec = self._detector.spec
        for result in results:
            self.totals.add(result)
        return OfflineStep(
            part, results, [window_message(r, spec.class_names, spec.training) for r in results]
        )


ProgressCallback = Callable[[float], None]


def run_recording(
    detector: Detector, recording: Recording, window_slices: int, slice_us: int, on_progress: ProgressCallback
) -> Iterator[StepOutput]:
    """Every slice of a recording, in the order of time that the weights ask for."""
    detector.spec.check_input(events=True, name=recording.path.name)
    parts = RecordingSource(recording, slice_us, detector.spec.representation).slices()
    box = Letterbox.fit(*recording.sensor_size(), detector.spec)
    if detector.spec.time_order == "oldest_first":
        outputs = _run_stateful(detector, parts, box)
    else:
        outputs = _run_windows(detector, parts, box, window_slices)
    for out in outputs:
        yield out
        on_progress(recording.progress())


def _run_stateful(detector: Detector, parts: Iterator[Slice], box: Letterbox) -> Iterator[StepOutput]:
    state = detector.init_state()
    for part in parts:
        before = detector.init_state() if part.discontinuity else state
        out = detector.step(preprocess(part.frame, box, detector.spec)[None], before, exact=True)
        state = out.state
        yield out


def _run_windows(
    detector: Detector, parts: Iterator[Slice], box: Letterbox, slices: int
) -> Iterator[StepOutput]:
    held: list[torch.Tensor] = []
    for part in parts:
        if held and (part.discontinuity or len(held) == slices):
            yield from detector.run_window(torch.stack(held), exact=True)
            held = []
        held.append(preprocess(part.frame, box, detector.spec)[None])
    if held:
        yield from detector.run_window(torch.stack(held), exact=True)
