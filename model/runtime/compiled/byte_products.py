"""Products of bytes: each of 16 sums of int32 grows by four spikes (0..D) times four weights (-127..127).

vpdpbusd_512   one instruction for 16 sums, two a cycle: 128 multiply-accumulates a cycle
vpdpbusd_256   one for 8 sums
pmaddubsw      three for 8 sums: products in pairs, pairs of pairs, sum. Pairs are int16 and saturate
               from D = 130 on; then 16-bit products are used
sdot           one for 4 sums (ARM); spikes are signed, so from D = 128 on bytes are widened
widened        plain LLVM IR for any processor
"""

from llvmlite import ir

from spikewatch.model.runtime.compiled.emitter import (
    BYTE_LANES,
    BYTES,
    I16,
    I32,
    INTS,
    LANES,
    Emitter,
    Value,
    constant,
    vector,
)

MAX_SIGNED_SPIKE = 127
MAX_PAIRED_SPIKE = 32767 // (2 * 127)
"""Largest D for which two products of a byte weight fit an int16."""


def dot(k: Emitter, sums: Value, spikes: Value, weights: Value, d_max: int) -> Value:
    """Return sums [16] + for each lane the four products of spikes and weights, both bytes [64].

    Args:
        k: the function that is built.
        sums: int32 [16].
        spikes: unsigned bytes, at most d_max.
        weights: signed bytes.
        d_max: largest spike.
    """
    match k.target.dot:
        case "vpdpbusd_512":
            words = (k.build.bitcast(each, INTS) for each in (spikes, weights))
            return k.call("llvm.x86.avx512.vpdpbusd.512", INTS, (sums, *words))
        case "vpdpbusd_256":
            return _in_parts(k, sums, spikes, weights, 8, "llvm.x86.avx512.vpdpbusd.256")
        case "pmaddubsw" if d_max <= MAX_PAIRED_SPIKE:
            return _pairs_of_bytes(k, sums, spikes, weights)
        case "pmaddubsw":
            return _pairs_of_words(k, sums, spikes, weights)
        case "sdot" if d_max <= MAX_SIGNED_SPIKE:
            return _in_parts(k, sums, spikes, weights, 4, "llvm.aarch64.neon.sdot.v4i32.v16i8")
    return _widened(k, sums, spikes, weights)


def _join(k: Emitter, parts: list[Value]) -> Value:
    """Concatenate vectors of equal length; their number is a power of two."""
    while len(parts) > 1:
        lanes = ir.Constant(vector(I32, 2 * parts[0].type.count), list(range(2 * parts[0].type.count)))
        parts = [k.build.shuffle_vector(a, b, lanes) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _in_parts(k: Emitter, sums: Value, spikes: Value, weights: Value, lanes: int, intrinsic: str) -> Value:
    """Apply a dot product of `lanes` sums to each part."""
    parts = []
    for start in range(0, LANES, lanes):
        part = k.lanes(sums, range(start, start + lanes))
        u, s = (k.lanes(each, range(4 * start, 4 * (start + lanes))) for each in (spikes, weights))
        if "x86" in intrinsic:
            u, s = (k.build.bitcast(each, part.type) for each in (u, s))
        parts.append(k.call(intrinsic, part.type, (part, u, s)))
    return _join(k, parts)


def _pairs_of_bytes(k: Emitter, sums: Value, spikes: Value, weights: Value) -> Value:
    ones, parts = constant(vector(I16), 1), []
    for start in (0, BYTES // 2):
        u, s = (k.lanes(each, range(start, start + BYTES // 2)) for each in (spikes, weights))
        pairs = k.call("llvm.x86.avx2.pmadd.ub.sw", vector(I16), (u, s))
        parts.append(k.call("llvm.x86.avx2.pmadd.wd", vector(I32, 8), (pairs, ones)))
    return k.build.add(sums, _join(k, parts))


def _pairs_of_words(k: Emitter, sums: Value, spikes: Value, weights: Value) -> Value:
    """Multiply as int16: pmaddwd gives sums of two, of which lanes 2i and 2i + 1 belong to sum i."""
    total = sums
    for odd in (0, 2):
        # taps 0 and 1, then taps 2 and 3, of all 16 sums: two halves of 8 sums each
        parts = []
        for start in (0, 8):
            taps = [4 * lane + odd + tap for lane in range(start, start + 8) for tap in (0, 1)]
            u = k.build.zext(k.lanes(spikes, taps), vector(I16))
            s = k.build.sext(k.lanes(weights, taps), vector(I16))
            parts.append(k.call("llvm.x86.avx2.pmadd.wd", vector(I32, 8), (u, s)))
        total = k.build.add(total, _join(k, parts))
    return total


def _widened(k: Emitter, sums: Value, spikes: Value, weights: Value) -> Value:
    assert spikes.type == BYTE_LANES
    products = k.build.mul(
        k.build.zext(spikes, vector(I16, BYTES)), k.build.sext(weights, vector(I16, BYTES))
    )
    for tap in range(4):
        lanes = k.lanes(products, range(tap, BYTES, 4))
        sums = k.build.add(sums, k.build.sext(lanes, INTS))
    return sums
