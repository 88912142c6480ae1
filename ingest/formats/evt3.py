"""Decoder of EVT 3.0: little-endian 16-bit words whose top four bits are the type.

Address and time carry over from word to word.

    EVT_ADDR_Y 0x0       y in 10-0
    EVT_ADDR_X 0x2       one event: polarity in 11, x in 10-0
    VECT_BASE_X 0x3      polarity in 11, x of the next vector's first pixel in 10-0
    VECT_12 0x4, VECT_8 0x5   a mask: bit j set is an event at the base + j; the base moves on by 12 or 8
    EVT_TIME_LOW 0x6, EVT_TIME_HIGH 0x8   time bits 11..0 and 23..12
    CONTINUED_4 0x7, EXT_TRIGGER 0xA, OTHERS 0xE, CONTINUED_12 0xF   ignored, and padding 0x9999
    0x1, 0xB, 0xC, 0xD   reserved; ignored and counted as "reserved_word"

TIME_LOW restarts at 0 when TIME_HIGH changes. Time has 24 bits and wraps after 16.8 seconds.
Source: docs.prophesee.ai, "EVT 3.0 Format".
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.record_decoder import RecordDecoder
from spikewatch.ingest.formats.unwrap import NO_TIME, TOLERANCE_US, Int, resolve_jump

_STATE_FIELDS = ("high", "low", "epoch", "timed", "y", "has_y", "base_x", "base_p", "has_base")
_DROP_COUNTERS = ("untimed", "unplaced", "outside", "reserved")
_STATE_DTYPE = np.dtype([(name, "<i8") for name in _STATE_FIELDS + _DROP_COUNTERS])
_TIME_HIGH_PERIOD = 1 << 12
_TIME_HIGH_TOLERANCE = TOLERANCE_US >> 12
_MAX_EVENTS_PER_WORD = 12


@numba.njit(inline="always")
def _emit_event(
    s: Any, out: Events, n: int, time: Int, x: Int, polarity: Int, placed: Int, width: int, height: int
) -> int:
    """Write one event, or count the reason for dropping it; return the number of events in `out`."""
    if not s.timed:
        s.untimed += 1
    elif not (placed and s.has_y):
        s.unplaced += 1
    elif x >= width or s.y >= height:
        s.outside += 1
    else:
        event = out[n]
        event.t = time
        event.x = x
        event.y = s.y
        event.p = polarity
        return n + 1
    return n


@numba.njit(inline="always")
def _count_wraps(epoch: Any, last: Any, high: Any) -> Any:
    """Return the number of wraps at a TIME_HIGH `high` after `last`."""
    if abs(high - last) <= _TIME_HIGH_TOLERANCE:
        return epoch
    base = epoch * _TIME_HIGH_PERIOD
    time = resolve_jump(NO_TIME, NO_TIME, base + last, base + high, _TIME_HIGH_PERIOD, _TIME_HIGH_TOLERANCE)[
        0
    ]
    return time // _TIME_HIGH_PERIOD


@numba.njit(nogil=True, cache=True)
def decode_evt3(
    words: NDArray[Any], state: NDArray[Any], out: Events, width: int, height: int
) -> tuple[int, int]:
    """Decode words (N,) u16 into `out` while it has room for 12 more; return (words consumed, events)."""
    s = state[0]
    time = (s.epoch << 24) | (s.high << 12) | s.low
    n = 0
    i = 0
    while i < len(words) and n + _MAX_EVENTS_PER_WORD <= len(out):
        word_type, value = np.int64(words[i]) >> 12, np.int64(words[i]) & 0xFFF
        i += 1
        if word_type == 0x2:
            n = _emit_event(s, out, n, time, value & 0x7FF, value >> 11, 1, width, height)
        elif word_type == 0x4 or word_type == 0x5:
            bits = 12 if word_type == 0x4 else 8
            for bit in range(bits):
                if (value >> bit) & 1:
                    n = _emit_event(s, out, n, time, s.base_x + bit, s.base_p, s.has_base, width, height)
            s.base_x += bits
        elif word_type == 0x6:
            s.low = value
            time = (s.epoch << 24) | (s.high << 12) | s.low
        elif word_type == 0x0:
            s.y = value & 0x7FF
            s.has_y = 1
        elif word_type == 0x3:
            s.base_x, s.base_p, s.has_base = value & 0x7FF, value >> 11, 1
        elif word_type == 0x8:
            if s.timed:
                s.epoch = _count_wraps(s.epoch, s.high, value)
            if value != s.high or not s.timed:
                s.low = 0
            s.high, s.timed = value, 1
            time = (s.epoch << 24) | (s.high << 12) | s.low
        elif (
            word_type != 0x7
            and word_type != 0x9
            and word_type != 0xA
            and word_type != 0xE
            and word_type != 0xF
        ):
            s.reserved += 1
    return i, n


class Evt3Decoder(RecordDecoder):
    """Decoder of RAW EVT 3.0, with or without its header; a vector may be split over two feeds."""

    format = "evt3"
    word_dtype = np.dtype("<u2")
    address_limit = 1 << 11

    def __init__(self, width: int | None = None, height: int | None = None) -> None:
        super().__init__(width, height)
        self.state = np.zeros(1, _STATE_DTYPE)

    def _decode(self, words: NDArray[Any], out: Events, width: int, height: int) -> tuple[int, int]:
        result: tuple[int, int] = decode_evt3(words, self.state, out, width, height)
        self._count_drops(self.state)
        return result
