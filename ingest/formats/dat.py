"""Decoder and encoder of DAT: 8-byte records of one event each.

A record is two little-endian words: u32 time in µs, u32 address with x in bits 0-13, y in bits 14-27,
polarity in bit 28. A file begins with a text header and then two bytes: event type and event size.
Type 0x0C is CD; 0x00 is the older name of the same record (Gen1 and N-CARS files). Files whose header says
`% Version 1` have x in bits 0-8, y in bits 9-16 and polarity in bit 17.
Source: docs.prophesee.ai, "DAT File Format". Time wraps after 2^32 µs, 71.6 minutes.
"""

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import FormatError, TruncatedError
from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.header import Header
from spikewatch.ingest.formats.record_decoder import RecordDecoder, UInt
from spikewatch.ingest.formats.unwrap import NO_TIME, TOLERANCE_US, Int, resolve_jump

STATE_DTYPE = np.dtype([(name, "<i8") for name in ("last", "epoch", "before", "after", "timed")])
"""The last record's 32-bit time and the number of its wraps; `before` and `after` of `resolve_jump`; whether
there was a record yet."""

TIME_PERIOD_US = 1 << 32

_RECORD_BYTES = 8
_PREAMBLE_BYTES = 2
_CD_TYPES = (0x00, 0x0C)
_TRIGGER_TYPE = 0x0E
_VERSIONS = ("1", "2")


@numba.njit(inline="always")
def unpack_record(record: np.uint64) -> tuple[np.int64, np.uint64, np.uint64, np.uint64]:
    """Return (time, x, y, polarity) of a record, in one load."""
    time = np.int64(record & np.uint64(0xFFFFFFFF))
    x = (record >> np.uint64(32)) & np.uint64(0x3FFF)
    y = (record >> np.uint64(46)) & np.uint64(0x3FFF)
    return time, x, y, (record >> np.uint64(60)) & np.uint64(1)


@numba.njit(inline="always")
def load_clock(records: NDArray[Any], state: NDArray[Any]) -> tuple[Int, Int, Int]:
    """Return (before, after, last) of `resolve_jump`; the first record of a stream is taken as its last."""
    if not state[0].timed and len(records):
        state[0].last, state[0].timed = unpack_record(records[0])[0], 1
    return state[0].before, state[0].after, state[0].epoch * TIME_PERIOD_US + state[0].last


@numba.njit(inline="always")
def store_clock(state: NDArray[Any], before: Int, after: Int, last: Int) -> None:
    """Store the times that `load_clock` returns."""
    state[0].before, state[0].after = before, after
    state[0].last, state[0].epoch = last % TIME_PERIOD_US, last // TIME_PERIOD_US


@numba.njit(nogil=True, cache=True)
def decode_dat(
    records: NDArray[Any], state: NDArray[Any], out: Events, width: UInt, height: UInt
) -> tuple[int, int]:
    """Decode records (N,) u64 into `out` (>= N,); return (records consumed, events)."""
    before, after, last = load_clock(records, state)
    base = last - last % TIME_PERIOD_US
    n = 0
    for i in range(len(records)):
        counter, x, y, polarity = unpack_record(records[i])
        time = base + counter
        if abs(time - last) > TOLERANCE_US:
            time, before, after = resolve_jump(before, after, last, time, TIME_PERIOD_US, TOLERANCE_US)
            base = time - counter
        last = time
        if x < width and y < height:
            event = out[n]
            event.t = time
            event.x = x
            event.y = y
            event.p = polarity
            n += 1
    store_clock(state, before, after, last)
    return len(records), n


class DatDecoder(RecordDecoder):
    """Decoder of DAT, with or without its header and the two bytes after it.

    A headerless stream is raw records; `HeaderParser` explains why it is never mistaken for a header.
    """

    format = "dat"
    word_dtype = np.dtype("<u8")
    address_limit = 1 << 14
    byte_orders = ("little",)

    def __init__(self, width: int | None = None, height: int | None = None) -> None:
        super().__init__(width, height)
        self.state = np.zeros(1, STATE_DTYPE)
        self.state["before"] = self.state["after"] = NO_TIME
        self._preamble = b""
        self._version = "2"

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

    def _check_header(self, header: Header) -> None:
        super()._check_header(header)
        version = header.fields.get("version", "2")
        self._version = version.split(".")[0]
        if self._version not in _VERSIONS:
            raise FormatError(f"DAT version {version!r} is not supported; expected {' or '.join(_VERSIONS)}")

    def _to_native(self, words: NDArray[Any]) -> NDArray[Any]:
        return _from_version_1(words) if self._version == "1" else words

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


def _from_version_1(records: NDArray[Any]) -> NDArray[Any]:
    """Return records (N,) of version 1 as those of version 2."""
    time, address = records & 0xFFFFFFFF, records >> np.uint64(32)
    x, y, polarity = address & 0x1FF, (address >> np.uint64(9)) & 0xFF, (address >> np.uint64(17)) & 1
    return time | x << np.uint64(32) | y << np.uint64(46) | polarity << np.uint64(60)


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
