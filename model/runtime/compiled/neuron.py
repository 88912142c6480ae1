"""I-LIF for 16 neurons, as a function that LLVM inlines into the epilogue of every kernel.

    U = h + gain * x,  S = round(clip(U, 0, D)),  h' = beta * (U - S)

About 12 instructions for 16 neurons, beside a load and a store of 64 bytes of membranes. Multiplication and
addition are separate, as in the other runtimes. Clipping before rounding gives the same as after it, because
0 and D are integers.
"""

from typing import Any

from spikewatch.model.runtime.compiled.emitter import (
    FLOATS,
    I16,
    INTS,
    PTR,
    Emitter,
    Value,
    constant,
    vector,
)
from spikewatch.model.runtime.compiled.instruction_sets import InstructionSet

ROUNDING = 2.0**23
"""Added to a float in 0..2^22, it leaves the nearest integer (ties to even) in the low bits of the sum."""

ARGUMENTS = (PTR, PTR, FLOATS, FLOATS, FLOATS, FLOATS, PTR, PTR)
"""Membranes; membranes to prefetch; x; beta, gain, D; spikes counted so far; poison."""


def build_fire(module: Any, name: str, target: InstructionSet, scaled: bool, bfloat16: bool) -> Value:
    """Write the function into a module. It returns int32 [16] of which the low bytes are the spikes.

    Args:
        module: the module.
        name: name of the function.
        target: the instruction set.
        scaled: the input gain is not one.
        bfloat16: membranes are bfloat16, not float32.
    """
    k = Emitter(module, name, ARGUMENTS, target, result=INTS)
    k.function.linkage = "internal"
    k.function.attributes.add("alwaysinline")
    membranes, following, x, beta, gain, d_max, count, poison = k.arguments
    b, zero, rounding = k.build, constant(FLOATS, 0), constant(FLOATS, ROUNDING)
    k.prefetch_for_writing(following)
    h = _load_bfloat16(k, membranes) if bfloat16 else k.load(membranes, 0, FLOATS)
    u = b.fadd(h, b.fmul(gain, x) if scaled else x)
    clipped = b.select(b.fcmp_ordered(">", u, zero), u, zero)  # NaN becomes 0 here, and stays in h'
    clipped = b.select(b.fcmp_ordered("<", clipped, d_max), clipped, d_max)
    rounded = b.fadd(clipped, rounding)
    left = b.fmul(beta, b.fsub(u, b.fsub(rounded, rounding)))
    # 0 times a finite number is 0; times NaN or infinity it is NaN, which stays in the sum
    k.set(poison, k.multiply_add(left, zero, k.get(poison, FLOATS)))
    if bfloat16:
        _store_bfloat16(k, left, membranes)
    else:
        k.store(left, membranes, 0)
    bits = b.bitcast(rounded, INTS)
    k.set(count, b.add(k.get(count, INTS), b.and_(bits, constant(INTS, 0xFF))))
    b.ret(bits)
    return k.function


def _load_bfloat16(k: Emitter, membranes: Value) -> Value:
    """Convert bfloat16, the upper halves of float32, to float32."""
    bits = k.build.zext(k.load(membranes, 0, vector(I16), 2), INTS)
    return k.build.bitcast(k.build.shl(bits, constant(INTS, 16)), FLOATS)


def _store_bfloat16(k: Emitter, values: Value, membranes: Value) -> None:
    """Round to the nearest bfloat16, ties to even."""
    b = k.build
    bits = b.bitcast(values, INTS)
    odd = b.and_(b.lshr(bits, constant(INTS, 16)), constant(INTS, 1))
    bits = b.add(b.add(bits, constant(INTS, 0x7FFF)), odd)
    k.store(b.trunc(b.lshr(bits, constant(INTS, 16)), vector(I16)), membranes, 0, 2)
