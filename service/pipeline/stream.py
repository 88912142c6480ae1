"""One live stream of event arrays through a detector, without a service."""

from numpy.typing import ArrayLike

from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.event_arrays import as_events
from spikewatch.ingest.slicing.slicer import Slice, SlicerStats
from spikewatch.model.detector import Detector
from spikewatch.service.errors import StepFailed
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.inference.slice_runner import SliceRunner
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.model_catalog import ModelFingerprint
from spikewatch.service.pipeline.results import DetectionResult
from spikewatch.service.pipeline.snapshot import DecodedStream, encode_stream, make_slicer


class DetectionStream:
    """A stream of events and its membranes; from `EventDetector.stream` or `EventDetector.restore`.

    Results depend on the events only, not on their split into pushes. Use a stream from one thread at a time.

    Attributes:
        options: how the stream is cut, with the defaults of the model filled in.
    """

    def __init__(
        self,
        detector: Detector,
        fingerprint: ModelFingerprint,
        options: SessionOptions,
        saved: DecodedStream | None = None,
    ) -> None:
        self.options = options
        self._spec, self._fingerprint = detector.spec, fingerprint
        self._slicer = make_slicer(options)
        self._runner = SliceRunner(detector, (self._slicer.width, self._slicer.height), options.window)
        self._error: Exception | None = None
        if saved is not None:
            saved.load_slicer(self._slicer)
            saved.load_runner(self._runner)

    @property
    def stats(self) -> SlicerStats:
        """Counts of events so far, late ones and jumps in time among them."""
        return self._slicer.stats

    @property
    def filtered_events(self) -> dict[str, int]:
        """Filter -> events removed so far."""
        return self._slicer.filtered

    @property
    def position_us(self) -> int | None:
        """Time up to which events were run; None before the first slice."""
        return self._runner.sequence.position_us

    def push(
        self,
        events: ArrayLike,
        x: ArrayLike | None = None,
        y: ArrayLike | None = None,
        p: ArrayLike | None = None,
    ) -> list[DetectionResult]:
        """Add events in the order of time; return the results that they complete.

        Args:
            events: an array (N,) of EVENT_DTYPE, or the times in microseconds with the other columns.
            x: pixels.
            y: pixels.
            p: polarity, above 0 means ON.

        Raises:
            FormatError: these are no events; the stream is unchanged.
            TimeOrderError: an event is more than 1 s earlier than the open slice, with on_time_jump "fail".
            GeometryError: an event is off the sensor.
            StepFailed: the weights gave NaN or infinity.
            RuntimeError: the stream has ended.

        Results before a bad event are returned, with that of the unfinished window. Then the next call
        raises the error. The stream ends with it.
        """
        self._check_open()
        checked = as_events(events, x, y, p)
        results: list[WindowResult] = []
        try:
            for slice_ in self._slicer.push(checked):
                results += self._runner.run(slice_)
        except (IngestError, StepFailed) as error:
            self._error = error
            if isinstance(error, IngestError):
                results += self._runner.flush()
            if not results:
                raise
        return self._public(results)

    def finish(self) -> list[DetectionResult]:
        """End the stream; return the results of its unfinished slice and window. Raises as `push`."""
        self._check_open()
        last: Slice | None = self._slicer.flush()
        results = [] if last is None else self._runner.run(last)
        results += self._runner.flush()
        self._error = RuntimeError("the stream is finished; open another one")  # no value
        return self._public(results)

    def snapshot(self) -> bytes:
        """Return the state, megabytes, for `EventDetector.restore` in this or another process.

        Raises:
            RuntimeError, IngestError: the stream has ended.
        """
        self._check_open()
        return encode_stream(self._slicer, self._runner, self.options, self._fingerprint)

    def _public(self, results: list[WindowResult]) -> list[DetectionResult]:
        return [DetectionResult.from_window(result, self._spec) for result in results]

    def _check_open(self) -> None:
        if self._error is not None:
            raise self._error
