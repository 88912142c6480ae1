"""Decoder of ECF, the event compression of Metavision HDF5 files (filter 0x8ECF), without a plugin.

One HDF5 chunk is, little-endian and without padding:

    u32 header   events << 2 | y, x and p packed << 1 | x and p packed
    u64 t0       microseconds
    times        one byte per run: high nibble dt, low nibble count; count 15: a u16 count follows;
                 dt 15: the low nibble is the next four bits, lowest first, of a dt added before the run
    then         y, x and p packed: four events in three u32, 24 bits each (y << 12 | x << 1 | p)
    or           y runs: u16 y << 5 | count; count 31: a u16 count follows; and then
                   x and p packed: four events in three u16, 12 bits each (x << 1 | p), or
                   x masked: u16 x << 5 | mask; the mask's bit 4 - j adds an event at x + j + 1
                   p runs: u8 p << 7 | count; count 127: a u16 count follows

A packed group of four spans three words: each word holds the rest of one event above the low bits of the
next.

Source: Prophesee's public codec, https://github.com/prophesee-ai/hdf5_ecf (Apache-2.0).

Each kernel takes the chunk, `raw` (bytes,), and a read position, and returns the position after the bytes it
read, or one of the negative codes below. They do not raise: an exception in a compiled function would leak
its arrays.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import FormatError, TruncatedError
from spikewatch.ingest.events import Events, empty_events

ECF_FILTER_ID = 0x8ECF
ECF_MAX_EVENTS = 65535
"""Largest number of events in a chunk, a limit of the reference codec."""

_HEADER_BYTES = 12
_TRUNCATED = -1
_OVERRUN = -2
_TIME_OVERFLOW = -3
_MAX_DT_NIBBLES = 15
_TIME_BITS = 62  # a sum of two times then fits 64 bits

ByteArray = NDArray[np.uint8]


def decode_ecf(chunk: bytes) -> Events:
    """Decode one ECF chunk; return its events in stored order.

    Raises:
        TruncatedError: the chunk ends before its declared number of events.
        FormatError: its runs exceed its event count, or a timestamp exceeds 62 bits.
    """
    raw = np.frombuffer(chunk, np.uint8)
    if len(raw) < _HEADER_BYTES:
        raise TruncatedError(f"an ECF chunk of {len(raw)} bytes ends before its {_HEADER_BYTES}-byte header")
    header = int.from_bytes(chunk[:4], "little")
    count = header >> 2
    if count > ECF_MAX_EVENTS:
        raise FormatError(f"an ECF chunk declares {count} events, more than {ECF_MAX_EVENTS}; it is damaged")
    events = empty_events(count)
    end = _decode(raw, bool(header & 2), bool(header & 1), events["t"], events["x"], events["y"], events["p"])
    if end == _TRUNCATED:
        raise TruncatedError(f"an ECF chunk of {len(raw)} bytes ends before its {count} events")
    if end < 0:
        reason = "its runs exceed its event count" if end == _OVERRUN else "a timestamp exceeds 62 bits"
        raise FormatError(f"an ECF chunk of {count} events is damaged: {reason}")
    return events


@numba.njit(nogil=True, cache=True)
def _read_u8(raw: ByteArray, pos: int) -> int:
    return int(np.int64(raw[pos]))  # signed, because numba adds a u64 and an i64 as floats


@numba.njit(nogil=True, cache=True)
def _read_u16(raw: ByteArray, pos: int) -> int:
    return _read_u8(raw, pos) | _read_u8(raw, pos + 1) << 8


@numba.njit(nogil=True, cache=True)
def _read_u32(raw: ByteArray, pos: int) -> int:
    return _read_u16(raw, pos) | _read_u16(raw, pos + 2) << 16


@numba.njit(nogil=True, cache=True)
def _decode_times(raw: ByteArray, t: NDArray[np.int64]) -> int:
    """Decode the time runs into t (N,), starting at t0; return the next position or a code."""
    size, total = len(raw), len(t)
    now = _read_u32(raw, 4) | _read_u32(raw, 8) << 32
    if now >> _TIME_BITS:
        return _TIME_OVERFLOW
    pos, filled, dt, nibbles = _HEADER_BYTES, 0, 0, 0
    while filled < total:
        if pos >= size:
            return _TRUNCATED
        high, run = _read_u8(raw, pos) >> 4, _read_u8(raw, pos) & 15
        pos += 1
        if high == 15:
            if nibbles == _MAX_DT_NIBBLES:
                return _TIME_OVERFLOW
            dt |= run << (4 * nibbles)
            nibbles += 1
            continue
        now += dt + high
        if now >> _TIME_BITS:
            return _TIME_OVERFLOW
        dt, nibbles = 0, 0
        if run == 15:
            if pos + 2 > size:
                return _TRUNCATED
            run = _read_u16(raw, pos)
            pos += 2
        if run > total - filled:
            return _OVERRUN
        for i in range(filled, filled + run):
            t[i] = now
        filled += run
    return pos


@numba.njit(nogil=True, cache=True)
def _decode_packed_yxp(
    raw: ByteArray, pos: int, x: NDArray[np.uint16], y: NDArray[np.uint16], p: NDArray[np.uint8]
) -> int:
    """Decode groups of four 24-bit events into x, y, p (N,); padding of the last group is ignored."""
    total = len(x)
    if (total + 3) // 4 * 12 > len(raw) - pos:
        return _TRUNCATED
    for filled in range(0, total, 4):
        a, b, c = _read_u32(raw, pos), _read_u32(raw, pos + 4), _read_u32(raw, pos + 8)
        pos += 12
        packed = (a >> 8, (a & 0xFF) | b >> 16 << 8, (b & 0xFFFF) | c >> 24 << 16, c & 0xFFFFFF)
        for j in range(min(4, total - filled)):
            y[filled + j] = packed[j] >> 12 & 0x7FF
            x[filled + j] = packed[j] >> 1 & 0x7FF
            p[filled + j] = packed[j] & 1
    return pos


@numba.njit(nogil=True, cache=True)
def _decode_y_runs(raw: ByteArray, pos: int, y: NDArray[np.uint16]) -> int:
    size, total, filled = len(raw), len(y), 0
    while filled < total:
        if pos + 2 > size:
            return _TRUNCATED
        word = _read_u16(raw, pos)
        pos += 2
        run = word & 31
        if run == 31:
            if pos + 2 > size:
                return _TRUNCATED
            run = _read_u16(raw, pos)
            pos += 2
        if run > total - filled:
            return _OVERRUN
        for i in range(filled, filled + run):
            y[i] = word >> 5
        filled += run
    return pos


@numba.njit(nogil=True, cache=True)
def _decode_packed_xp(raw: ByteArray, pos: int, x: NDArray[np.uint16], p: NDArray[np.uint8]) -> int:
    """Decode groups of four 12-bit (x, p) into x, p (N,); padding of the last group is ignored."""
    total = len(x)
    if (total + 3) // 4 * 6 > len(raw) - pos:
        return _TRUNCATED
    for filled in range(0, total, 4):
        a, b, c = _read_u16(raw, pos), _read_u16(raw, pos + 2), _read_u16(raw, pos + 4)
        pos += 6
        packed = (a >> 4, (a & 0xF) | b >> 8 << 4, (b & 0xFF) | c >> 12 << 8, c & 0xFFF)
        for j in range(min(4, total - filled)):
            x[filled + j] = packed[j] >> 1
            p[filled + j] = packed[j] & 1
    return pos


@numba.njit(nogil=True, cache=True)
def _decode_masked_x(raw: ByteArray, pos: int, x: NDArray[np.uint16]) -> int:
    """Decode words into x (N,): one event at x, and one at x + 1 .. x + 5 per mask bit, highest first."""
    size, total, filled = len(raw), len(x), 0
    while filled < total:
        if pos + 2 > size:
            return _TRUNCATED
        word = _read_u16(raw, pos)
        pos += 2
        first = word >> 5
        x[filled] = first
        filled += 1
        for j in range(5):
            if word & (16 >> j):
                if filled == total:
                    return _OVERRUN
                x[filled] = first + j + 1
                filled += 1
    return pos


@numba.njit(nogil=True, cache=True)
def _decode_p_runs(raw: ByteArray, pos: int, p: NDArray[np.uint8]) -> int:
    size, total, filled = len(raw), len(p), 0
    while filled < total:
        if pos >= size:
            return _TRUNCATED
        polarity, run = _read_u8(raw, pos) >> 7, _read_u8(raw, pos) & 127
        pos += 1
        if run == 127:
            if pos + 2 > size:
                return _TRUNCATED
            run = _read_u16(raw, pos)
            pos += 2
        if run > total - filled:
            return _OVERRUN
        for i in range(filled, filled + run):
            p[i] = polarity
        filled += run
    return pos


@numba.njit(nogil=True, cache=True)
def _decode(
    raw: ByteArray,
    yxp_packed: bool,
    xp_packed: bool,
    t: NDArray[np.int64],
    x: NDArray[np.uint16],
    y: NDArray[np.uint16],
    p: NDArray[np.uint8],
) -> int:
    """Decode a chunk into t, x, y, p (N,); return the position after the last byte read, or a code."""
    pos = _decode_times(raw, t)
    if pos < 0:
        return pos
    if yxp_packed:
        return _decode_packed_yxp(raw, pos, x, y, p)
    pos = _decode_y_runs(raw, pos, y)
    if pos < 0:
        return pos
    if xp_packed:
        return _decode_packed_xp(raw, pos, x, p)
    pos = _decode_masked_x(raw, pos, x)
    return pos if pos < 0 else _decode_p_runs(raw, pos, p)
