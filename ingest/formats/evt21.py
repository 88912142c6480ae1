"""Decoder of EVT 2.1: 64-bit words that carry up to 32 events of one polarity, row and time.

    EVT_NEG 0x0, EVT_POS 0x1   type in 63-60, time bits 5..0 in 59-54, x of bit 0 in 53-43 (a multiple of 32),
                               y in 42-32, and in 31-0 a mask: bit j set is an event at x + j
    EVT_TIME_HIGH 0x8          time bits 33..6 in 59-32
    EXT_TRIGGER 0xA, OTHERS 0xE, CONTINUED 0xF   ignored; any other type is counted as "reserved_word"

Source: docs.prophesee.ai, "EVT 2.1 Format". Written from the specification alone; no real recording was
available to check it. A GenX320 sends whole words little-endian, which is the default here. An IMX636 sends
the upper 32 bits first, each half little-endian. Its files declare that in their header
(`% format EVT21;endianness=legacy`), and the halves are swapped back. A headerless stream is read as
little-endian.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.evt2 import (
    STATE_DTYPE,
    TIME_HIGH_PERIOD,
    TIME_HIGH_TOLERANCE,
)
from spikewatch.ingest.formats.record_decoder import RecordDecoder
from spikewatch.ingest.formats.unwrap import NO_TIME, resolve_jump

_EVENTS_PER_WORD = 32


@numba.njit(nogil=True, cache=True)
def decode_evt21(
    words: NDArray[Any], state: NDArray[Any], out: Events, width: int, height: int
) -> tuple[int, int]:
    """Decode words (N,) u64 into `out` while it has room for 32 more; return (words consumed, events)."""
    s = state[0]
    high, before, after, timed = s.epoch * TIME_HIGH_PERIOD + s.high, s.before, s.after, s.timed
    base = high << 6
    n = 0
    i = 0
    while i < len(words) and n + _EVENTS_PER_WORD <= len(out):
        upper = np.int64(words[i] >> np.uint64(32))
        mask = np.int64(words[i] & np.uint64(0xFFFFFFFF))
        word_type = upper >> 28
        i += 1
        if word_type <= 1:
            time = base | ((upper >> 22) & 0x3F)
            x, y = (upper >> 11) & 0x7FF, upper & 0x7FF
            for bit in range(_EVENTS_PER_WORD):
                if not (mask >> bit) & 1:
                    continue
                if not timed:
                    s.untimed += 1
                elif x + bit >= width or y >= height:
                    s.outside += 1
                else:
                    event = out[n]
                    event.t = time
                    event.x = x + bit
                    event.y = y
                    event.p = word_type
                    n += 1
        elif word_type == 0x8:
            now = upper & 0xFFFFFFF
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
    return i, n


class Evt21Decoder(RecordDecoder):
    """Decoder of RAW EVT 2.1, with or without its header."""

    format = "evt21"
    word_dtype = np.dtype("<u8")
    address_limit = 1 << 11
    byte_orders = ("little", "legacy")

    def __init__(self, width: int | None = None, height: int | None = None) -> None:
        super().__init__(width, height)
        self.state = np.zeros(1, STATE_DTYPE)
        self.state["before"] = self.state["after"] = NO_TIME

    def _to_native(self, words: NDArray[Any]) -> NDArray[Any]:
        if self._byte_order == "legacy":
            return (words << np.uint64(32)) | (words >> np.uint64(32))
        return words

    def _decode(self, words: NDArray[Any], out: Events, width: int, height: int) -> tuple[int, int]:
        result: tuple[int, int] = decode_evt21(words, self.state, out, width, height)
        self._count_drops(self.state)
        return result
