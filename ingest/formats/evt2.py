"""Decoder of EVT 2.0: little-endian 32-bit words whose top four bits are the type.

    CD_OFF 0x0, CD_ON 0x1   time bits 5..0 in 27-22, x in 21-11, y in 10-0
    TIME_HIGH 0x8           time bits 33..6 in 27-0
    EXT_TRIGGER 0xA, OTHERS 0xE, CONTINUED 0xF   ignored; any other type is counted as "reserved_word"

Source: docs.prophesee.ai, "EVT 2.0 Format". Time has 34 bits and wraps after 4.77 hours.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.record_decoder import RecordDecoder
from spikewatch.ingest.formats.unwrap import NO_TIME, TOLERANCE_US, resolve_jump

STATE_DTYPE = np.dtype(
    [
        ("high", "<i8"),
        ("epoch", "<i8"),
        ("before", "<i8"),
        ("after", "<i8"),
        ("timed", "<i8"),
        ("untimed", "<i8"),
        ("outside", "<i8"),
        ("reserved", "<i8"),
    ]
)
"""Last TIME_HIGH, its wraps, `before` and `after` of `resolve_jump`, whether there was one; then the drop
counters since `_count_drops` last ran: events before the first TIME_HIGH, events off the sensor, words of
unknown type."""

TIME_HIGH_PERIOD = 1 << 28
TIME_HIGH_TOLERANCE = TOLERANCE_US >> 6
"""In units of TIME_HIGH, 64 µs."""


@numba.njit(nogil=True, cache=True)
def decode_evt2(
    words: NDArray[Any], state: NDArray[Any], out: Events, width: int, height: int
) -> tuple[int, int]:
    """Decode words (N,) u32 into `out` (>= N,); return (words consumed, events)."""
    s = state[0]
    high, before, after, timed = s.epoch * TIME_HIGH_PERIOD + s.high, s.before, s.after, s.timed
    base = high << 6
    n = 0
    for i in range(len(words)):
        word = np.int64(words[i])
        word_type = word >> 28
        if word_type <= 1:
            x, y = (word >> 11) & 0x7FF, word & 0x7FF
            if not timed:
                s.untimed += 1
            elif x >= width or y >= height:
                s.outside += 1
            else:
                event = out[n]
                event.t = base | ((word >> 22) & 0x3F)
                event.x = x
                event.y = y
                event.p = word_type
                n += 1
        elif word_type == 0x8:
            now = word & 0xFFFFFFF
            if timed:
                now += high - high % TIME_HIGH_PERIOD
                if abs(now - high) > TIME_HIGH_TOLERANCE:
                    now, before, after = resolve_jump(
                        before, after, high, now, TIME_HIGH_PERIOD, TIME_HIGH_TOLERANCE
                    )
            high, timed = now, 1
            base = high << 6
        elif word_type != 0xA and word_type != 0xE and word_type != 0xF:
            s.reserved += 1
    s.high, s.epoch = high % TIME_HIGH_PERIOD, high // TIME_HIGH_PERIOD
    s.before, s.after, s.timed = before, after, timed
    return len(words), n


class Evt2Decoder(RecordDecoder):
    """Decoder of RAW EVT 2.0, with or without its header."""

    format = "evt2"
    word_dtype = np.dtype("<u4")
    address_limit = 1 << 11

    def __init__(self, width: int | None = None, height: int | None = None) -> None:
        super().__init__(width, height)
        self.state = np.zeros(1, STATE_DTYPE)
        self.state["before"] = self.state["after"] = NO_TIME

    def _decode(self, words: NDArray[Any], out: Events, width: int, height: int) -> tuple[int, int]:
        result: tuple[int, int] = decode_evt2(words, self.state, out, width, height)
        self._count_drops(self.state)
        return result
