"""Builder of LLVM IR with loops, fields and vectors of 16 lanes, which is what kernels are written in.

LLVM splits a vector of 16 lanes where registers are narrower. Variables are stack slots that LLVM turns into
registers. Shapes are Python numbers, so that offsets become constants of the code.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from llvmlite import ir

from spikewatch.model.runtime.compiled.abi import WORD
from spikewatch.model.runtime.compiled.instruction_sets import InstructionSet

Value = Any
"""A value of the program that is being built (`ir.Value`), not of this one."""

LANES = 16
BYTES = 64
"""Bytes of a vector."""

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32, PTR, VOID = ir.FloatType(), ir.PointerType(), ir.VoidType()
FLOATS, INTS, BYTE_LANES = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES), ir.VectorType(I8, BYTES)


def vector(element: Any, lanes: int = LANES) -> Any:
    """Return a vector type."""
    return ir.VectorType(element, lanes)


def constant(kind: Any, value: float) -> Value:
    """Return a constant; for a vector type, with this value in all lanes."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


class Emitter:
    """Builds one function.

    Attributes:
        build: llvmlite's builder, for what has no method here.
        arguments: the values that the function is called with.
    """

    def __init__(
        self, module: Any, name: str, arguments: Sequence[Any], target: InstructionSet, result: Any = VOID
    ) -> None:
        self.module = module
        self.target = target
        self.function = ir.Function(module, ir.FunctionType(result, arguments), name)
        self.arguments: tuple[Value, ...] = self.function.args
        self._entry = self.function.append_basic_block("variables")
        body = self.function.append_basic_block("body")
        self.build = ir.IRBuilder(self._entry)
        self.build.branch(body)
        self.build.position_at_end(body)

    # Variables and numbers

    def variable(self, kind: Any, initial: Value) -> Value:
        """Declare a variable."""
        entry = ir.IRBuilder(self._entry)
        entry.position_at_start(self._entry)
        slot = entry.alloca(kind)
        slot.align = BYTES
        self.build.store(initial, slot)
        return slot

    def get(self, slot: Value, kind: Any) -> Value:
        """Read a variable."""
        return self.build.load(slot, typ=kind)

    def set(self, slot: Value, value: Value) -> None:
        """Write a variable."""
        self.build.store(value, slot)

    def number(self, n: Value | int) -> Value:
        """Return an int64."""
        return ir.Constant(I64, n) if isinstance(n, int) else n

    def mul(self, a: Value | int, b: Value | int) -> Value:
        """Return a * b, int64."""
        if isinstance(a, int) and isinstance(b, int):
            return self.number(a * b)
        return self.build.mul(self.number(a), self.number(b))

    def add(self, *terms: Value | int) -> Value:
        """Return the sum of int64."""
        total = self.number(terms[0])
        for term in terms[1:]:
            if not (isinstance(term, int) and term == 0):
                total = self.build.add(total, self.number(term))
        return total

    def splat(self, scalar: Value, lanes: int = LANES) -> Value:
        """Return a vector with a value in all lanes."""
        kind = vector(scalar.type, lanes)
        first = self.build.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(I32, 0))
        return self.build.shuffle_vector(first, first, constant(vector(I32, lanes), 0))

    def lanes(self, v: Value, numbers: Sequence[int]) -> Value:
        """Return the lanes of v with these numbers."""
        return self.build.shuffle_vector(v, v, ir.Constant(vector(I32, len(numbers)), list(numbers)))

    def call(self, name: str, result: Any, arguments: Sequence[Value]) -> Value:
        """Call an intrinsic, or a function of the C library."""
        known = self.module.globals.get(name)
        signature = ir.FunctionType(result, [each.type for each in arguments])
        return self.build.call(known or ir.Function(self.module, signature, name), arguments)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """Return a * b + c of floats, with one rounding where the processor can."""
        if not self.target.fused:
            return self.build.fadd(self.build.fmul(a, b), c)
        return self.call("llvm.fma.v16f32", FLOATS, (a, b, c))

    # Memory

    def at(self, base: Value, offset: Value | int) -> Value:
        """Return the address `offset` bytes after `base`."""
        if isinstance(offset, int) and offset == 0:
            return base
        return self.build.gep(base, [self.number(offset)], source_etype=I8)

    def load(self, base: Value, offset: Value | int, kind: Any, align: int = 4) -> Value:
        """Read a value at an address."""
        return self.build.load(self.at(base, offset), typ=kind, align=align)

    def store(self, value: Value, base: Value, offset: Value | int, align: int = 4) -> None:
        """Write a value to an address."""
        self.build.store(value, self.at(base, offset), align=align)

    def field(self, row: Value, field: IntEnum) -> Value:
        """Read a field of a table, int64."""
        return self.load(row, WORD * field, I64, WORD)

    def address(self, row: Value, field: IntEnum) -> Value:
        """Read a field of a table that is an address."""
        return self.load(row, WORD * field, PTR, WORD)

    def prefetch_for_writing(self, address: Value) -> None:
        """Ask the caches for a line that will be written."""
        flags = [ir.Constant(I32, n) for n in (1, 3, 1)]
        self.call("llvm.prefetch.p0", VOID, (address, *flags))

    # Control flow

    def loop(self, count: Value | int, body: Callable[[Value], None]) -> None:
        """Run body(0), body(1) ... for `count` times, at least once."""
        if isinstance(count, int) and count == 1:
            body(self.number(0))
            return
        index = self.variable(I64, self.number(0))
        head, done = (self.function.append_basic_block(name) for name in ("loop", "done"))
        self.build.branch(head)
        self.build.position_at_end(head)
        at = self.get(index, I64)
        body(at)
        following = self.add(at, 1)
        self.set(index, following)
        self.build.cbranch(self.build.icmp_signed("<", following, self.number(count)), head, done)
        self.build.position_at_end(done)

    @contextmanager
    def forever(self) -> Iterator[Callable[[Value], None]]:
        """Repeat the block; the value that it is given leaves the loop if a condition holds."""
        head, done = (self.function.append_basic_block(name) for name in ("repeat", "left"))
        self.build.branch(head)
        self.build.position_at_end(head)

        def leave_if(condition: Value) -> None:
            stay = self.function.append_basic_block("stay")
            self.build.cbranch(condition, done, stay)
            self.build.position_at_end(stay)

        yield leave_if
        self.build.branch(head)
        self.build.position_at_end(done)
