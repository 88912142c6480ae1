"""Detection in Python: `load` a detector, then `detect` in recordings or `stream` events."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from typing_extensions import Unpack

from spikewatch.model.checkpoints.bundled import UNTRAINED, weights_path
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.checkpoints.official_import import import_official
from spikewatch.model.detector import Detector
from spikewatch.model.runtime.names import AUTO
from spikewatch.model.runtime.select import select_runtime
from spikewatch.model.spec import ModelSpec
from spikewatch.service.inference.offline import OfflineRun
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.inference.sources import SensorSize
from spikewatch.service.model_catalog import ModelFingerprint, compute_fingerprint
from spikewatch.service.pipeline.options import ResultOptions, make_options
from spikewatch.service.pipeline.results import DetectionResult
from spikewatch.service.pipeline.snapshot import decode_stream
from spikewatch.service.pipeline.sources import Source, open_source
from spikewatch.service.pipeline.stream import DetectionStream
from spikewatch.service.schemas import Summary


class DetectionRun(Iterator[DetectionResult]):
    """The results in one recording, computed while it is iterated. A context manager that closes the file.

    `cancel`, `progress` and `summary` may be called from other threads.
    """

    def __init__(
        self,
        source: Source,
        detector: Detector,
        format: str | None,
        sensor_size: SensorSize,
        chosen: ResultOptions,
    ) -> None:
        def choose(found: str, size: SensorSize) -> SessionOptions:
            return make_options(detector.spec, found, *size, chosen)

        with ExitStack() as stack:
            self._source, options = open_source(source, format, sensor_size, choose, stack)
            self._stack = stack.pop_all()
        self._run = OfflineRun(self._source, detector, options.window)
        self._results = self._iterate(detector.spec)

    def __next__(self) -> DetectionResult:
        """Return the next result. Raises IngestError where the recording is bad."""
        return next(self._results)

    def cancel(self) -> None:
        """End the recording after the current slice; the result of the unfinished window still comes.

        A read from a pipe that waits for bytes is not interrupted.
        """
        self._run.stop()

    @property
    def progress(self) -> float | None:
        """Share of the recording that has been read, 0 to 1; None for a pipe."""
        return self._source.progress()

    def summary(self) -> Summary:
        """Return the totals of all results so far."""
        return self._run.summary()

    def close(self) -> None:
        """End the iteration and close the files that were opened for it."""
        self._results.close()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _iterate(self, spec: ModelSpec) -> Generator[DetectionResult]:
        with self._stack:
            for step in self._run:
                for result in step.results:
                    yield DetectionResult.from_window(result, spec)


class EventDetector:
    """Weights that are ready to run on event streams. It has no state: each stream and recording has its own.

    Use it from one thread at a time.
    """

    def __init__(self, detector: Detector) -> None:
        """Wrap a network. Raises ConfigError if it takes still images."""
        detector.spec.check_input(events=True, name="an event stream")
        self._detector = detector

    @property
    def spec(self) -> ModelSpec:
        """Specification of the model: name, classes, input, origin of the weights."""
        return self._detector.spec

    @property
    def runtime(self) -> str:
        """Name of the runtime."""
        return self._detector.runtime

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each `class_id`."""
        return self.spec.class_names

    def detect(
        self,
        source: Source,
        *,
        width: int | None = None,
        height: int | None = None,
        format: str | None = None,
        **options: Unpack[ResultOptions],
    ) -> DetectionRun:
        """Return an iterator over the results in a recording; membranes are carried from beginning to end.

        Args:
            source: a path, the bytes of a recording, a binary file or pipe, an array (N,) of EVENT_DTYPE, or
                a tuple of arrays t, x, y, p.
            width: sensor pixels, where the source does not name them.
            height: the same.
            format: `dat`, `evt2`, `evt21` or `evt3` for bytes without a header; else found in the content.
            options: see `ResultOptions`.

        Raises:
            OSError: the file cannot be read.
            IngestError: the content is not a supported recording, or its sensor size is not known.
            ConfigError: an option is out of range.
        """
        return DetectionRun(source, self._detector, format, (width, height), options)

    def stream(self, width: int, height: int, **options: Unpack[ResultOptions]) -> DetectionStream:
        """Open a stream of events, to be pushed as they come, with membranes at rest.

        Args:
            width: sensor pixels.
            height: the same.
            options: see `ResultOptions`.

        Raises:
            ConfigError: an option is out of range.
        """
        chosen = make_options(self.spec, "events", width, height, options)
        return DetectionStream(self._detector, self._fingerprint, chosen)

    def restore(self, state: bytes) -> DetectionStream:
        """Return a stream that continues from `DetectionStream.snapshot`.

        Raises:
            InvalidSnapshot: the bytes are corrupt, or of other weights, another runtime or another version.
        """
        saved = decode_stream(state, self._detector, self._fingerprint)
        return DetectionStream(self._detector, self._fingerprint, saved.options, saved)

    @cached_property
    def _fingerprint(self) -> ModelFingerprint:
        return compute_fingerprint(self._detector)


def load(
    weights: str | Path | None = None, *, runtime: str = AUTO, device: str = "cpu", variant: str = "gen1"
) -> EventDetector:
    """Load a detector of events.

    Args:
        weights: a name in `bundled_weights()`, a safetensors file, an official SpikeYOLO checkpoint (`.pt`,
            read without running anything in it), or `untrained`; default: the bundled weights.
        runtime: a name in RUNTIMES, or `auto` for the fastest on this machine that keeps the scores.
        device: a torch device, such as `cpu` or `cuda`.
        variant: data set of an official checkpoint.

    Raises:
        CheckpointError: the file is missing, damaged or of another network.
        ConfigError: the runtime does not support this network or this device, or the weights take images.
    """
    name = None if weights is None else str(weights)
    if name not in (None, UNTRAINED) and _is_official(weights_path(str(name))):
        network = import_official(Path(str(name)), variant)
        chosen = select_runtime(runtime, network.network, device)
        return EventDetector(Detector(network.network, network.spec, device, chosen))
    return EventDetector(load_detector(name, device, runtime=runtime))


def _is_official(path: Path) -> bool:
    """Return whether a file is a pickle or a ZIP archive of one, as PyTorch writes them."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return False
    # safetensors begin with the length of a JSON header, whose first byte can be that of a pickle
    return head.startswith(b"PK\x03\x04") or (head.startswith(b"\x80") and not head.endswith(b"{"))


def detect(
    source: Source,
    *,
    weights: str | Path | None = None,
    runtime: str = AUTO,
    device: str = "cpu",
    width: int | None = None,
    height: int | None = None,
    format: str | None = None,
    **options: Unpack[ResultOptions],
) -> DetectionRun:
    """Load a detector and return an iterator over the results in a recording.

    See `load` and `EventDetector.detect`. To run several recordings, load the detector once.
    """
    detector = load(weights, runtime=runtime, device=device)
    return detector.detect(source, width=width, height=height, format=format, **options)
