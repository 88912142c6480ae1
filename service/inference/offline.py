"""A recording through the detector without a server: the same engine, windows and results."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.model.checkpoints.checkpoint import weights_digest
from spikewatch.model.detector import Detector
from spikewatch.model.letterbox import Letterbox
from spikewatch.service.errors import StepFailed
from spikewatch.service.inference.engine import Engine, Lane
from spikewatch.service.inference.sources import RecordingSource
from spikewatch.service.inference.totals import RunningTotals
from spikewatch.service.inference.window import WindowOptions, WindowResult, prepare
from spikewatch.service.schemas import Summary, Window


@dataclass(frozen=True, slots=True)
class Seen:
    """One slice, and the results that it completed.

    Attributes:
        part: the slice; None at the very end, when only an unfinished window was left.
        results: as they are computed.
        windows: the same as they are written.
    """

    part: Slice | None
    results: list[WindowResult]
    windows: list[Window]


class OfflineRun:
    """Iterates over a recording; `totals` grows on the way, `summary()` is complete at the end."""

    def __init__(self, source: RecordingSource, detector: Detector, options: WindowOptions) -> None:
        self._source = source
        self._detector = detector
        self._engine = Engine(detector, 1)
        self._sensor = source.recording.sensor_size()
        self._lane = Lane(0, detector, self._sensor, options)
        self.totals = RunningTotals()
        self._stopped = False

    def __iter__(self) -> Iterator[Seen]:
        """Run every slice in turn, the membranes carried from one to the next."""
        box = Letterbox.fit(*self._sensor, self._detector.spec)
        for part in self._source.slices():
            before = self._engine.jump(self._lane) if part.discontinuity else []
            ready = prepare(part, box, self._detector.spec, time.monotonic())
            batch = self._engine.run([(self._lane, ready)])
            if not batch.healthy[0]:
                raise StepFailed(
                    f"the network gave no finite logits at {part.t1_us / 1e6:.3f} s; bad weights?"
                )
            yield self._count(part, before + batch.windows[0])
            if self._stopped:
                break
        rest = self._engine.flush(self._lane)
        if rest:
            yield self._count(None, rest)

    def stop(self) -> None:
        """End after the slice under way, as if the recording ended there."""
        self._stopped = True

    def summary(self) -> Summary:
        """Sums over everything run so far."""
        spec, recording = self._detector.spec, self._source.recording
        return Summary(
            **self.totals.as_totals(self._source).model_dump(),
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

    def _count(self, part: Slice | None, results: list[WindowResult]) -> Seen:
        spec = self._detector.spec
        for result in results:
            self.totals.add(result)
        return Seen(part, results, [Window.of(r, spec.class_names, spec.training) for r in results])
