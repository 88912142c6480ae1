"""Decoder and encoder of DAT: 8-byte records of one event each.

A record is two little-endian words: u32 time in µs, u32 address with x in bits 0-13, y in bits 14-27,
polarity in bit 28. A file begins with a text header and then two bytes: event type and event size.
Type 0x0C is CD; 0x00 is the older name of the same record (Gen1 and N-CARS files).
Source: docs.prophesee.ai, "DAT File Format". Time wraps after 2^32 µs, 71.6 minutes.
"""

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import FormatError, TruncatedError
from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.record_decoder import RecordDecoder, UInt, unwrap_epoch

STATE_DTYPE = np.dtype([("last", "<i8"), ("epoch", "<i8")])
"""The last record's 32-bit time, and the number of its wraps so far."""

HALF_TIME_RANGE = 1 << 31

_RECORD_BYTES = 8
_PREAMBLE_BYTES = 2
_CD_TYPES = (0x00, 0x0C)
_TRIGGER_TYPE = 0x0E


@numba.njit(inline="always")
def unpack_record(record: np.uint64) -> tuple[np.int64, np.uint64, np.uint64, np.uint64]:
    """Return (time, x, y, polarity) of a record, in one load."""
    time = np.int64(record & np.uint64(0xFFFFFFFF))
    x = (record >> np.uint64(32)) & np.uint64(0x3FFF)
    y = (record >> np.uint64(46)) & np.uint64(0x3FFF)
    return time, x, y, (record >> np.uint64(60)) & np.uint64(1)


@numba.njit(nogil=True, cache=True)
def decode_dat(
    records: NDArray[Any], state: NDArray[Any], out: Events, width: UInt, height: UInt
) -> tuple[int, int]:
    """Decode records (N,) u64 into `out` (>= N,); return (records consumed, events)."""
    last, epoch = state[0].last, state[0].epoch
    n = 0
    for i in range(len(records)):
        time, x, y, polarity = unpack_record(records[i])
        epoch = unwrap_epoch(epoch, last, time, HALF_TIME_RANGE)
        last = time
        if x < width and y < height:
            event = out[n]
            event.t = (epoch << 32) + time
            event.x = x
            event.y = y
            event.p = polarity
            n += 1
    state[0].last, state[0].epoch = last, epoch
    return len(records), n


class DatDecoder(RecordDecoder):
    """Decoder of DAT, with or without its header and the two bytes after it.

    A headerless stream is raw records; `HeaderParser` explains why it is never mistaken for a header.
    """

    format = "dat"
    word_dtype = np.dtype("<u8")
    address_limit = 1 << 14

    def __init__(self, width: int | None = None, height: int | None = None) -> None:
        super().__init__(width, height)
        self.state = np.zeros(1, STATE_DTYPE)
        self._preamble = b""

    def finish(self) -> None:
        """See `RecordDecoder.finish`; also raises TruncatedError if the event type and size are missing."""
        super().finish()
        if self._header_parser.header is not None and len(self._preamble) < _PREAMBLE_BYTES:
            raise TruncatedError(
                f"the stream ends {len(self._preamble)} bytes after its text header; "
                f"expected the DAT event type and size ({_PREAMBLE_BYTES} bytes)"
            )

    def save(self) -> dict[str, Any]:
        """See `RecordDecoder.save`; includes the event type and size."""
        return super().save() | {"preamble": self._preamble.hex()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """See `RecordDecoder.load`."""
        super().load(saved)
        self._preamble = bytes.fromhex(saved["preamble"])
        if len(self._preamble) >= _PREAMBLE_BYTES:
            _check_preamble(*self._preamble)

    def _skip_preamble(self, view: memoryview) -> memoryview:
        missing = _PREAMBLE_BYTES - len(self._preamble)
        if self._header_parser.header is None or not missing or not view:
            return view
        self._preamble += bytes(view[:missing])
        if len(self._preamble) == _PREAMBLE_BYTES:
            _check_preamble(*self._preamble)
        return view[missing:]

    def _decode(self, words: NDArray[Any], out: Events, width: int, height: int) -> tuple[int, int]:
        consumed, count = decode_dat(words, self.state, out, np.uint64(width), np.uint64(height))
        self.stats.count_dropped("outside_sensor", consumed - count)
        return consumed, count


def encode_dat(events: Events) -> bytes:
    """Return events (N,) as raw DAT records, without a header."""
    records = np.empty((len(events), 2), "<u4")
    records[:, 0] = events["t"] & 0xFFFFFFFF
    records[:, 1] = events["x"].astype("u4") | events["y"].astype("u4") << 14 | events["p"].astype("u4") << 28
    return records.tobytes()


def _check_preamble(event_type: int, event_size: int) -> None:
    if event_type == _TRIGGER_TYPE:
        raise FormatError(
            f"DAT event type 0x{event_type:02X} is external triggers; expected CD events, type 0x0C or 0x00"
        )
    if event_type not in _CD_TYPES or event_size != _RECORD_BYTES:
        raise FormatError(
            f"DAT event type 0x{event_type:02X} with {event_size} bytes an event is not supported; "
            f"expected CD events, type 0x0C or 0x00 with {_RECORD_BYTES} bytes"
        )
