"""Reader of Event Stream (.es) version 2 files with DVS or ATIS events.

The origin is the lower left pixel, so y is turned around. Bytes of a DVS event: (dt << 1) | on, x and y as
u16; 0xFF adds 127 us. Of an ATIS event: (dt << 2) | polarity << 1 | exposure; 0xFC | n adds 63 n us.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.columns import EventColumns
from spikewatch.ingest.errors import FormatError, TruncatedError
from spikewatch.ingest.events import DecodeStats, Events, empty_events
from spikewatch.ingest.formats.sensor_size import SensorSize
from spikewatch.ingest.pipe import BlockReader
from spikewatch.ingest.table_options import TableOptions

EVENT_STREAM_MAGIC = b"Event Stream"
HEADER_BYTES = 20
_TYPES = ("generic", "DVS", "ATIS", "unknown", "colour")
_DVS, _ATIS = 1, 2
_CHUNK_BYTES = 1 << 18
_EVENT_BYTES = 5
_UNDEFINED, _EXPOSURE = 0, 1


class EventStreamTable:
    """The events of an .es file; ATIS exposures are dropped as "exposure".

    Args:
        head: bytes already read from `file`, HEADER_BYTES or more unless it has ended.
        length: bytes of the file, which is then read again by seeking; None for a pipe.

    Raises:
        FormatError: another version or type of events, or options for tables.
        TruncatedError: the file ends within its header.
    """

    def __init__(
        self, path: Path, file: BinaryIO, head: bytes, length: int | None, options: TableOptions
    ) -> None:
        if options != TableOptions():
            raise FormatError(f"{path} is an event stream, which names its columns and unit itself")
        if len(head) < HEADER_BYTES:
            raise TruncatedError(f"{path} ends within the header of an event stream")
        major, minor, patch, kind, width, height = struct.unpack_from("<4B2H", head, len(EVENT_STREAM_MAGIC))
        if major != 2:
            raise FormatError(f"{path} is version {major}.{minor}.{patch} of Event Stream; expected 2")
        if kind not in (_DVS, _ATIS):
            name = _TYPES[kind] if kind < len(_TYPES) else f"type {kind}"
            raise FormatError(f"{path} is an event stream of {name} events; expected DVS or ATIS events")
        self.format = "es"
        self.sensor_size: SensorSize = (width, height)
        self._height, self._is_atis = height, kind == _ATIS
        self._reader = BlockReader(path, file, length, _CHUNK_BYTES, HEADER_BYTES, head[HEADER_BYTES:])

    def blocks(self, stats: DecodeStats) -> Iterator[EventColumns]:
        """See `Table.blocks`."""
        state = np.zeros(1, np.int64)
        rest = b""
        for data in self._reader.blocks():
            data = rest + data
            events = empty_events(len(data) // _EVENT_BYTES)
            counts = np.zeros(2, np.int64)
            used, count = _decode(np.frombuffer(data, np.uint8), self._is_atis, state, events, counts)
            rest = data[used:]
            stats.count_dropped("reserved_word", int(counts[_UNDEFINED]))
            stats.count_dropped("exposure", int(counts[_EXPOSURE]))
            if count:
                found = events[:count]
                y = self._height - 1 - found["y"].astype(np.int64)  # below 0 if outside
                yield EventColumns(found["t"], found["x"], y, found["p"])
        stats.count_dropped("truncated_record", int(bool(rest)))

    def progress(self) -> float:
        """See `Table.progress`."""
        return self._reader.progress()

    def close(self) -> None:
        """See `Table.close`."""
        self._reader.close()


@numba.njit(nogil=True, cache=True)
def _decode(
    data: NDArray[Any], is_atis: bool, state: NDArray[Any], out: Events, counts: NDArray[Any]
) -> tuple[int, int]:
    """Decode whole events; return (bytes used, events). state (1,) is the time so far."""
    t = state[0]
    i = n = 0
    while i < len(data):
        byte = np.int64(data[i])
        if is_atis and byte & 0xFC == 0xFC:
            t += 63 * (byte & 3)
            i += 1
            continue
        if not is_atis and byte >= 0xFE:
            if byte == 0xFF:
                t += 127
            else:
                counts[_UNDEFINED] += 1
            i += 1
            continue
        if i + _EVENT_BYTES > len(data):
            break
        t += byte >> 2 if is_atis else byte >> 1
        if is_atis and byte & 1:
            counts[_EXPOSURE] += 1
        else:
            event = out[n]
            event.t = t
            event.x = np.uint16(data[i + 1]) | (np.uint16(data[i + 2]) << np.uint16(8))
            event.y = np.uint16(data[i + 3]) | (np.uint16(data[i + 4]) << np.uint16(8))
            event.p = (byte >> 1) & 1 if is_atis else byte & 1
            n += 1
        i += _EVENT_BYTES
    state[0] = t
    return i, n
