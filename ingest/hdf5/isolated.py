"""HDF5 recordings read in a child process: the C library trusts its input, and a service cannot."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spikewatch.ingest.child_process import READ_TIMEOUT_S, ChildFailedError, ChildProcess
from spikewatch.ingest.errors import FormatError, IngestError
from spikewatch.ingest.events import EVENT_DTYPE, MAX_SENSOR_PX, DecodeStats, Events
from spikewatch.ingest.formats.sensor_size import resolve_size
from spikewatch.ingest.hdf5 import worker
from spikewatch.ingest.recording import Recording

_ERROR_TYPES: list[type[IngestError]] = [IngestError, *IngestError.__subclasses__()]
_ERROR_BY_CODE = {kind.code: kind for kind in _ERROR_TYPES}


class IsolatedHdf5Recording(Recording):
    """Like `Hdf5Recording`, event for event, but a file that crashes, hangs or fills its reader is an error.

    What the child sends is checked again: whoever took it over through the library gains no more than a wrong
    recording.

    Raises:
        FormatError: also where the child failed or fell silent for `timeout_s` seconds.
        IngestError: as `Hdf5Recording`.
    """

    worker_module = "spikewatch.ingest.hdf5.worker"
    """Module that the child runs."""

    def __init__(
        self,
        path: Path,
        width: int | None = None,
        height: int | None = None,
        camera: str | None = None,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._options = json.dumps({"width": width, "height": height, "camera": camera})
        self._timeout_s = timeout_s
        self._seek_us: int | None = None
        self._progress = 0.0
        self._closed = False
        self._child: ChildProcess | None = None
        self._active_children: set[ChildProcess] = set()
        with _translate_child_errors(path):
            opened = self._start_child(path)
        size = resolve_size((opened["width"], opened["height"]), (width, height), str(path))
        super().__init__(path, str(opened["format"]), *size)

    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        """Events in file order, non-empty arrays of at most max_events (N,); see `Recording.chunks`."""
        if self._closed:
            raise ValueError(f"{self.path} is closed")
        self.stats = DecodeStats()
        self._progress = 0.0
        with _translate_child_errors(self.path):
            if self._child is None:
                self._start_child(self.path)
            child, self._child = self._child, None
            assert child is not None
            self._active_children.add(child)
            try:
                child.send(json.dumps({"max_events": max_events, "from_us": self._seek_us}))
                while (events := self._receive_chunk(child, max_events)) is not None:
                    yield events
                self._child = child
            finally:
                self._active_children.discard(child)
                if self._child is not child:
                    child.close()

    def seek(self, t_us: int) -> None:
        """Let later `chunks()` yield only events with t >= t_us; see `Hdf5Recording.seek`."""
        self._seek_us = t_us

    def progress(self) -> float:
        """Share of the stored events that the running `chunks()` has read, 0 to 1."""
        return self._progress

    def close(self) -> None:
        """End the child, even in the midst of a `chunks()` of another thread; closing twice is harmless."""
        self._closed = True
        for child in self._active_children.copy():
            child.kill()
        if self._child is not None:
            self._child.close()
            self._child = None

    def _start_child(self, path: Path) -> dict[str, Any]:
        child = ChildProcess(
            self.worker_module, str(path.absolute()), self._options, timeout_s=self._timeout_s
        )
        try:
            opened = _expect(child, worker.OPENED)
        except BaseException:
            child.close()
            raise
        self._child = child
        found: dict[str, Any] = json.loads(opened)
        return found

    def _receive_chunk(self, child: ChildProcess, max_events: int) -> Events | None:
        """The next chunk, or None after the last."""
        kind, payload = _receive(child)
        if kind not in (worker.PROGRESS, worker.DONE):
            raise ChildFailedError(f"sent a message of kind {kind} out of turn")
        told = json.loads(payload)
        self._progress = float(told["progress"])
        self.stats = DecodeStats(int(told["events"]), {str(k): int(n) for k, n in told["dropped"].items()})
        if kind == worker.DONE:
            return None
        events: Events = np.frombuffer(_expect(child, worker.EVENTS), EVENT_DTYPE)
        if not (0 < len(events) <= max_events and self._in_bounds(events)):
            raise ChildFailedError("sent events that cannot be")
        return events

    def _in_bounds(self, events: Events) -> bool:
        width, height = self.width or MAX_SENSOR_PX, self.height or MAX_SENSOR_PX
        return bool(
            events["x"].max() < width
            and events["y"].max() < height
            and events["p"].max() <= 1
            and events["t"].min() >= 0
        )


@contextmanager
def _translate_child_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except IngestError:
        raise
    except (ChildFailedError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise FormatError(f"{path} is so damaged that reading it failed: its reader {error}") from error


def _receive(child: ChildProcess) -> tuple[int, bytearray]:
    kind, payload = child.receive()
    if kind == worker.FAILED:
        told = json.loads(payload)
        raise _ERROR_BY_CODE.get(told["code"], FormatError)(told["message"])
    return kind, payload


def _expect(child: ChildProcess, message_type: int) -> bytearray:
    kind, payload = _receive(child)
    if kind != message_type:
        raise ChildFailedError(f"sent a message of kind {kind} out of turn")
    return payload
