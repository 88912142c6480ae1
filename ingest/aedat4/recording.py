"""Reader of AEDAT4 recordings, by the optional package `aedat` in a child process."""

import importlib.util
import json
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spikewatch.ingest.aedat4 import worker
from spikewatch.ingest.aedat4.packets import PacketScan
from spikewatch.ingest.child_process import ChildFailedError, ChildProcess
from spikewatch.ingest.columns import EventColumns, columns_to_events
from spikewatch.ingest.errors import FormatError, MissingDependencyError, TruncatedError
from spikewatch.ingest.events import DecodeStats, Events
from spikewatch.ingest.formats.sensor_size import resolve_size
from spikewatch.ingest.recording import Recording


class Aedat4Recording(Recording):
    """One event stream of an AEDAT4 file, by default the first; others' events are dropped as "other_stream".

    Timestamps are kept as stored: microseconds since 1970 in files written by DV.

    Raises:
        MissingDependencyError: the package `aedat` is not installed.
        FormatError: no event stream, no such stream, or damage; `chunks()` may raise this after many events.
        TruncatedError: the file ends within its header; `chunks()` raises this after the last whole packet.
        GeometryError: the given size contradicts the file's.
    """

    def __init__(
        self, path: Path, width: int | None = None, height: int | None = None, stream: str | None = None
    ) -> None:
        if importlib.util.find_spec("aedat") is None:
            raise MissingDependencyError(
                f"{path} is an AEDAT4 file, and the package aedat is not installed; "
                'run: pip install "spikewatch[aedat]"'
            )
        opened = _open_in_worker(path)
        self._packet_scan = PacketScan(opened["packets"], opened["truncated"])
        events = {int(key): entry for key, entry in opened["streams"].items() if entry["type"] == "events"}
        self._stream_id = _choose_stream(path, events, stream, opened["streams"])
        self._other_streams = sorted(events.keys() - {self._stream_id})
        stored_size = events[self._stream_id]["width"], events[self._stream_id]["height"]
        super().__init__(path, "aedat4", *resolve_size(stored_size, (width, height), str(path)))
        self._seek_us: int | None = None
        self._packets_read = 0
        self._closed = False

    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        """See `Recording.chunks`."""
        if self._closed:
            raise ValueError(f"{self.path} is closed")
        self.stats = DecodeStats()
        self._packets_read = 0
        pending: list[Events] = []  # collected, because a packet holds only some hundred events
        count = 0
        for events in self._read_packets():
            pending.append(events)
            count += len(events)
            if count >= max_events:
                joined = np.concatenate(pending)
                end = count - count % max_events
                for start in range(0, end, max_events):
                    yield joined[start : start + max_events]
                pending, count = [joined[end:].copy()], count - end
        if count:
            yield np.concatenate(pending)
        if self._packet_scan.truncated:
            raise TruncatedError(f"{self.path} ends within packet {self._packet_scan.complete_packets}")

    def warnings(self) -> list[str]:
        """See `Recording.warnings`; names the event streams that are left out."""
        if not self._other_streams:
            return super().warnings()
        count = self.stats.dropped.get("other_stream", 0)
        others = ", ".join(map(str, self._other_streams))
        return [
            *super().warnings(),
            f"stream {self._stream_id} was read; left out: {count:,} events of {others} "
            "(choose with --stream)",
        ]

    def seek(self, t_us: int) -> None:
        """See `Recording.seek`. The file is still read from its start."""
        self._seek_us = t_us

    def progress(self) -> float:
        """Return the share of the packets that the running `chunks()` has read, 0 to 1."""
        return self._packets_read / max(self._packet_scan.complete_packets, 1)

    def close(self) -> None:
        """Refuse later `chunks()`. Idempotent."""
        self._closed = True

    def _read_packets(self) -> Iterator[Events]:
        messages = _worker_messages("read", self.path)
        for _ in range(self._packet_scan.complete_packets):
            stream, payload = next(messages)
            self._packets_read += 1
            rows = np.frombuffer(payload, worker.ROW_DTYPE)
            if stream != self._stream_id:
                self.stats.count_dropped("other_stream", len(rows))
                continue
            columns = EventColumns(rows["t"].astype(np.int64), rows["x"], rows["y"], rows["on"])
            yield columns_to_events(columns, self.width, self.height, self._seek_us, self.stats)
        messages.close()


def _open_in_worker(path: Path) -> dict[str, Any]:
    messages = _worker_messages("open", path)
    opened: dict[str, Any] = json.loads(next(messages)[1])
    messages.close()
    return opened


def _choose_stream(
    path: Path, events: Mapping[int, object], stream: str | None, streams: Mapping[str, dict[str, Any]]
) -> int:
    """Return the id of the event stream to read.

    Raises:
        FormatError: there is none, or not the one that was asked for.
    """
    if not events:
        types = ", ".join(sorted(entry["type"] for entry in streams.values())) or "nothing"
        raise FormatError(f"{path} has no event stream; it has: {types}")
    if stream is None:
        return min(events)
    if not stream.isdecimal() or int(stream) not in events:
        known = ", ".join(map(str, sorted(events)))
        raise FormatError(f"{path} has no event stream {stream!r}; it has: {known}")
    return int(stream)


def _worker_messages(task: str, path: Path) -> Generator[tuple[int, bytes], None, None]:
    """Yield the messages of a worker, (stream, payload); closing the generator kills the worker.

    Raises:
        FormatError: the worker reports damage, exited, exceeded a limit or timed out.
    """
    with ChildProcess("spikewatch.ingest.aedat4.worker", task, str(path.absolute())) as child:
        try:
            for stream, payload in child.receive_all():
                if stream == worker.FAILED:
                    failure = json.loads(payload)
                    error_type = TruncatedError if failure["code"] == TruncatedError.code else FormatError
                    raise error_type(failure["message"].replace(str(path.absolute()), str(path)))
                if stream == worker.ERROR:
                    raise FormatError(f"{path} is damaged: {payload.decode(errors='replace')}")
                yield stream, bytes(payload)
        except ChildFailedError as error:
            raise FormatError(f"{path} is so damaged that the package aedat failed: it {error}") from error
