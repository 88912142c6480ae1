"""Reader of HDF5 recordings in a child process, because the C library trusts its input."""

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
from spikewatch.ingest.hdf5.recording import camera_warnings
from spikewatch.ingest.recording import Recording

_ERROR_TYPES: list[type[IngestError]] = [IngestError, *IngestError.__subclasses__()]
_ERROR_BY_CODE = {error_type.code: error_type for error_type in _ERROR_TYPES}


class IsolatedHdf5Recording(Recording):
    """Like `Hdf5Recording`, event for event, but a crash, hang or memory overrun of the library is an error.

    All data from the child are checked: an attacker who controls it through the library can only produce a
    wrong recording.

    Raises:
        FormatError: also if the child failed, or sent nothing for `timeout_s` seconds.
        IngestError: see `Hdf5Recording`.
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
            others = [str(name) for name in opened.get("other_cameras", ())]
            warnings = camera_warnings(str(opened.get("camera")), others)
        size = resolve_size((opened["width"], opened["height"]), (width, height), str(path))
        super().__init__(path, str(opened["format"]), *size)
        self._camera_warnings = warnings

    def warnings(self) -> list[str]:
        """See `Hdf5Recording.warnings`."""
        return super().warnings() + self._camera_warnings

    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        """See `Recording.chunks`."""
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
        """See `Hdf5Recording.seek`."""
        self._seek_us = t_us

    def progress(self) -> float:
        """Return the share of the stored events that the running `chunks()` has read, 0 to 1."""
        return self._progress

    def close(self) -> None:
        """Kill the child, even while another thread is in `chunks()`. Idempotent."""
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
            payload = _expect(child, worker.OPENED)
        except BaseException:
            child.close()
            raise
        self._child = child
        opened: dict[str, Any] = json.loads(payload)
        return opened

    def _receive_chunk(self, child: ChildProcess, max_events: int) -> Events | None:
        """Return the next chunk, or None after the last."""
        message_type, payload = _receive(child)
        if message_type not in (worker.PROGRESS, worker.DONE):
            raise ChildFailedError(
                f"sent message type {message_type}; expected {worker.PROGRESS} or {worker.DONE}"
            )
        report = json.loads(payload)
        self._progress = float(report["progress"])
        dropped = {str(reason): int(count) for reason, count in report["dropped"].items()}
        self.stats = DecodeStats(int(report["events"]), dropped)
        if message_type == worker.DONE:
            return None
        events: Events = np.frombuffer(_expect(child, worker.EVENTS), EVENT_DTYPE)
        if not (0 < len(events) <= max_events and self._in_bounds(events)):
            raise ChildFailedError(f"sent {len(events)} events, more than {max_events} or out of bounds")
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
        raise FormatError(f"{path} is so damaged that reading it failed: the reader {error}") from error


def _receive(child: ChildProcess) -> tuple[int, bytearray]:
    message_type, payload = child.receive()
    if message_type == worker.FAILED:
        failure = json.loads(payload)
        raise _ERROR_BY_CODE.get(failure["code"], FormatError)(failure["message"])
    return message_type, payload


def _expect(child: ChildProcess, expected_type: int) -> bytearray:
    message_type, payload = _receive(child)
    if message_type != expected_type:
        raise ChildFailedError(f"sent message type {message_type}; expected {expected_type}")
    return payload
