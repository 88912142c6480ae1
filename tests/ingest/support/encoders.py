"""Encoders written from the format specifications, word by word, independent of the decoders."""

import struct
from collections.abc import Iterable

Event = tuple[int, int, int, int]
"""(t in us, x, y, p)"""


def dat(events: Iterable[Event]) -> bytes:
    return b"".join(struct.pack("<II", t % 2**32, (p << 28) | (y << 14) | x) for t, x, y, p in events)


def evt2(events: Iterable[Event]) -> bytes:
    words, high = [], None
    for t, x, y, p in events:
        if t >> 6 != high:
            high = t >> 6
            words.append((0x8 << 28) | (high % 2**28))
        words.append((p << 28) | ((t & 0x3F) << 22) | (x << 11) | y)
    return struct.pack(f"<{len(words)}I", *words)


def evt21(events: Iterable[Event], *, legacy: bool = False) -> bytes:
    words, high = [], None
    for t, y, p, base, mask in _rows(events, 32, align=True):
        if t >> 6 != high:
            high = t >> 6
            words.append((0x8 << 60) | ((high % 2**28) << 32))
        words.append((p << 60) | ((t & 0x3F) << 54) | (base << 43) | (y << 32) | mask)
    if legacy:
        return b"".join(struct.pack("<II", word >> 32, word & 0xFFFFFFFF) for word in words)
    return struct.pack(f"<{len(words)}Q", *words)


def evt3(events: Iterable[Event], *, vectors: bool = True) -> bytes:
    """Encode runs of one row, time and polarity as vectors of 12, 12 and 8, or else as single events."""
    words: list[int] = []
    high = low = row = None
    for t, y, p, base, mask in _rows(events, 32 if vectors else 1, align=False):
        if (t >> 12) != high:
            high, low = t >> 12, 0
            words.append(0x8000 | (high % 2**12))
        if t & 0xFFF != low:
            low = t & 0xFFF
            words.append(0x6000 | low)
        if y != row:
            row = y
            words.append(y)
        if mask == 1:
            words.append(0x2000 | (p << 11) | base)
        else:
            words.append(0x3000 | (p << 11) | base)
            words += [0x4000 | (mask & 0xFFF), 0x4000 | ((mask >> 12) & 0xFFF), 0x5000 | (mask >> 24)]
    return struct.pack(f"<{len(words)}H", *words)


def _rows(events: Iterable[Event], lanes: int, *, align: bool) -> Iterable[tuple[int, int, int, int, int]]:
    """Yield runs of events of one time, row and polarity with rising x, as (t, y, p, base x, mask)."""
    key: tuple[int, int, int] | None = None
    base = mask = 0
    for t, x, y, p in events:
        lane = x - base
        if key == (t, y, p) and 0 < lane < lanes and not mask >> lane:
            mask |= 1 << lane
            continue
        if key is not None:
            yield *key, base, mask
        key, base = (t, y, p), x - x % lanes if align else x
        mask = 1 << (x - base)
    if key is not None:
        yield *key, base, mask


ENCODERS = {"dat": dat, "evt2": evt2, "evt21": evt21, "evt3": evt3}
