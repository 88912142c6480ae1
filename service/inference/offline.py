"""Detection in a recording without a server: the same engine, windows and results."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.model.array_detector import ArrayDetector
from spikewatch.service.inference.serialize import window_message
from spikewatch.service.inference.slice_runner import SliceRunner
from spikewatch.service.inference.sources import DropCounter, SensorSize
from spikewatch.service.inference.totals import TotalsAccumulator
from spikewatch.service.inference.window_result import WindowOptions, WindowResult
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

    def __init__(self, source: OfflineSource, detector: ArrayDetector, options: WindowOptions) -> None:
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
            digest=self._detector.weights_digest(),
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
