"""ECF encoder in plain Python, written from the format's description, independent of the decoder."""

import struct
from collections.abc import Iterator, Sequence

PACKINGS = ("masked", "xp_packed", "yxp_packed")


def encode_ecf(
    t: Sequence[int], x: Sequence[int], y: Sequence[int], p: Sequence[int], packing: str = "masked"
) -> bytes:
    """Return one chunk; t must not decrease, x and y must be below 2048, p 0 or 1."""
    header = len(t) << 2 | (packing == "yxp_packed") << 1 | (packing == "xp_packed")
    out = bytearray(struct.pack("<IQ", header, t[0] if len(t) else 0))
    out += _times(t)
    if packing == "yxp_packed":
        return bytes(out + _groups([a << 12 | b << 1 | c for a, b, c in zip(y, x, p, strict=True)], bits=24))
    for value, run in _runs(y):
        out += struct.pack("<H", value << 5 | run) if run < 31 else struct.pack("<HH", value << 5 | 31, run)
    if packing == "xp_packed":
        return bytes(out + _groups([a << 1 | b for a, b in zip(x, p, strict=True)], bits=12))
    out += _masked(x)
    for value, run in _runs(p):
        out += struct.pack("<B", value << 7 | run) if run < 127 else struct.pack("<BH", value << 7 | 127, run)
    return bytes(out)


def _runs(values: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for i in range(1, len(values) + 1):
        if i == len(values) or values[i] != values[start]:
            yield values[start], i - start
            start = i


def _times(t: Sequence[int]) -> bytes:
    out = bytearray()
    now = t[0] if len(t) else 0
    for value, run in _runs(t):
        dt, now = value - now, value
        if dt >= 15:
            while dt:
                out.append(0xF0 | dt & 15)
                dt >>= 4
        out += struct.pack("<B", dt << 4 | run) if run < 15 else struct.pack("<BH", dt << 4 | 15, run)
    return bytes(out)


def _masked(x: Sequence[int]) -> bytes:
    out, i = bytearray(), 0
    while i < len(x):
        base, mask = x[i], 0
        i += 1
        for step in range(1, 6):
            if i < len(x) and x[i] == base + step:
                mask |= 1 << (5 - step)
                i += 1
        out += struct.pack("<H", base << 5 | mask)
    return bytes(out)


def _groups(values: list[int], bits: int) -> bytes:
    """Pack four values into three words, each with the rest of one value above low bits of the next."""
    spare = bits // 3  # bits of a word beyond one value
    word_bytes = (bits + spare) // 8
    out = bytearray()
    padded = values + [0] * (-len(values) % 4)
    for a, b, c, d in zip(*(padded[i::4] for i in range(4)), strict=True):
        words = (
            a << spare | b % (1 << spare),
            b >> spare << 2 * spare | c % (1 << 2 * spare),
            c >> 2 * spare << 3 * spare | d,
        )
        for word in words:
            out += word.to_bytes(word_bytes, "little")
    return bytes(out)
