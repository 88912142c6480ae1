"""Epilogue of a kernel: the use of its results while they are in registers.

    residual -> store as floats -> neuron -> store as spikes, count them

Each part is optional and fixed when the kernel is compiled. Spikes go to the layout that the next convolution
reads. A membrane is read and written once a slice, and the next tile's are prefetched meanwhile, so neurons
cost about what their memory traffic costs: 17.5 MB a slice at scale t, 0.2 ms from the last-level cache.
"""

from dataclasses import dataclass
from typing import Protocol

from llvmlite import ir

from spikewatch.model.runtime.compiled.abi import NON_FINITE, OpField, SampleField
from spikewatch.model.runtime.compiled.buffers import PIXELS, Geometry
from spikewatch.model.runtime.compiled.emitter import (
    BYTES,
    F32,
    FLOATS,
    I8,
    I16,
    I32,
    I64,
    INTS,
    LANES,
    PTR,
    Emitter,
    Value,
    constant,
    vector,
)
from spikewatch.model.runtime.compiled.instruction_sets import InstructionSet
from spikewatch.model.runtime.compiled.neuron import build_fire


@dataclass(frozen=True, slots=True)
class NeuronOutput:
    """Spikes that a kernel writes.

    Attributes:
        channels: channels of the layer; the kernel may write some of them.
        spikes: where they go.
        grouped: their layout is GROUPED.
        d_max: D.
        scaled: the input gain is not one.
        bfloat16: membranes are bfloat16, not float32.
    """

    channels: int
    spikes: Geometry
    grouped: bool
    d_max: int
    scaled: bool
    bfloat16: bool


@dataclass(frozen=True, slots=True)
class Output:
    """Use of the results of a kernel, rows of `width` pixels.

    Attributes:
        residual: steps through the values that are added first.
        floats: steps through the memory that results are stored to.
        logits: `floats` is the output of the sample, not the arena.
    """

    width: int
    residual: Geometry | None = None
    floats: Geometry | None = None
    neuron: NeuronOutput | None = None
    logits: bool = False


class Kernel(Emitter):
    """A function `void kernel(operation, ticket, sample)`."""

    def __init__(self, module: object, name: str, target: InstructionSet) -> None:
        super().__init__(module, name, (PTR, I64, PTR), target)
        self.operation, self.ticket, self.sample = self.arguments

    def parameters(self, field: OpField) -> Value:
        """Return the address of weights, scales or biases."""
        return self.address(self.operation, field)

    def in_arena(self, field: OpField) -> Value:
        """Return the address of a buffer of this sample."""
        return self.at(self.address(self.sample, SampleField.ARENA), self.field(self.operation, field))


class KernelSpec(Protocol):
    """Shape of a kernel; equal specifications share one kernel."""

    def generate(self, k: Kernel, output: Output) -> None:
        """Write the kernel's code."""
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """Addresses at which a tile starts."""

    residual: Value = None
    floats: Value = None
    membranes: Value = None
    spikes: Value = None


class Epilogue:
    """Writes the code of an output into a kernel: `place` and `finish_tile` for each tile, `end` once."""

    def __init__(self, k: Kernel, output: Output) -> None:
        self.k, self.output = k, output
        if output.residual:
            self._residual = k.in_arena(OpField.RESIDUAL)
        if output.floats:
            base = k.address(k.sample, SampleField.OUTPUT) if output.logits else None
            offset = k.field(k.operation, OpField.FLOATS)
            self._floats = k.at(base, offset) if output.logits else k.in_arena(OpField.FLOATS)
        if output.neuron:
            self._spikes = k.in_arena(OpField.SPIKES)
            slot = k.mul(k.field(k.sample, SampleField.SLOT), k.field(k.operation, OpField.SLOT_BYTES))
            self._bank = k.at(k.parameters(OpField.BANK), slot)
            self._width = 2 if output.neuron.bfloat16 else 4
            numbers = k.parameters(OpField.NEURON)
            self._beta, self._gain, self._d_max = (k.splat(k.load(numbers, 4 * i, F32)) for i in range(3))
            self._count = k.variable(INTS, constant(INTS, 0))
            self._poison = k.variable(FLOATS, constant(FLOATS, 0))

    def place(self, y: Value, x: Value, channel: Value | int) -> _Place:
        """Return the addresses of the tile that starts at a pixel and channel."""
        k, neuron = self.k, self.output.neuron

        def address(base: Value, g: Geometry, column: Value, channel_bytes: int) -> Value:
            row = k.mul(k.add(y, g.pad), g.row)
            return k.at(base, k.add(row, k.mul(column, g.pixel), k.mul(channel, channel_bytes)))

        residual = floats = membranes = spikes = None
        if self.output.residual:
            g = self.output.residual
            residual = address(self._residual, g, k.add(x, g.pad), 4)
        if self.output.floats:
            g = self.output.floats
            floats = address(self._floats, g, k.add(x, g.pad), 4)
        if neuron:
            pixel = k.add(k.mul(y, self.output.width), x)
            offset = k.add(k.mul(pixel, neuron.channels), channel)
            membranes = k.at(self._bank, k.mul(offset, self._width))
            g = neuron.spikes
            if neuron.grouped:
                group = k.add(k.build.lshr(x, k.number(2)), 1)
                spikes = address(self._spikes, g, group, PIXELS)
            else:
                spikes = address(self._spikes, g, k.add(x, g.pad), 1)
        return _Place(residual, floats, membranes, spikes)

    def finish_tile(self, place: _Place, values: list[list[Value]]) -> None:
        """Emit the output of values [pixels][vectors] of float32 [16]."""
        k, output, neuron = self.k, self.output, self.output.neuron
        next_tile = len(values) * neuron.channels * self._width if neuron else 0
        for v in range(len(values[0])):
            fired = []
            for pixel, line in enumerate(values):
                value = line[v]
                if output.residual:
                    there = k.load(place.residual, pixel * output.residual.pixel + BYTES * v, FLOATS)
                    value = k.build.fadd(value, there)
                if output.floats:
                    k.store(value, place.floats, pixel * output.floats.pixel + BYTES * v)
                if neuron:
                    offset = (pixel * neuron.channels + LANES * v) * self._width
                    bits = self._fire(neuron, k.at(place.membranes, offset), value, next_tile)
                    fired.append(bits)
                    if not neuron.grouped:
                        low = k.build.trunc(bits, vector(I8))
                        k.store(low, place.spikes, pixel * neuron.spikes.pixel + LANES * v, 1)
            if neuron and neuron.grouped:
                self._store_groups(neuron, place, fired, v)

    def _store_groups(self, neuron: NeuronOutput, place: _Place, fired: list[Value], v: int) -> None:
        """Store four pixels of 16 channels as 16 words of four bytes."""
        k = self.k
        for start in range(0, len(fired), PIXELS):
            word = k.build.and_(fired[start], constant(INTS, 0xFF))
            for i, bits in enumerate(fired[start + 1 : start + PIXELS], 1):
                # the shift also removes the bits of ROUNDING
                word = k.build.or_(word, k.build.shl(bits, constant(INTS, 8 * i)))
            k.store(word, place.spikes, start // PIXELS * neuron.spikes.pixel + BYTES * v)

    def _fire(self, neuron: NeuronOutput, membrane: Value, x: Value, next_bytes: int) -> Value:
        """Emit I-LIF for 16 neurons; return bits of which the low byte is S."""
        name = f"fire_{'scaled_' if neuron.scaled else ''}{'bfloat16' if neuron.bfloat16 else 'float32'}"
        function = self.k.module.globals.get(name) or build_fire(
            self.k.module, name, self.k.target, neuron.scaled, neuron.bfloat16
        )
        constants = (self._beta, self._gain, self._d_max)
        following = self.k.at(membrane, next_bytes)
        arguments = (membrane, following, x, *constants, self._count, self._poison)
        return self.k.build.call(function, arguments)

    def end(self) -> None:
        """Emit the end of the kernel: add the spikes of this ticket to the sample's count."""
        k, b = self.k, self.k.build
        if self.output.neuron:
            total = k.call("llvm.vector.reduce.add.v16i32", I32, (k.get(self._count, INTS),))
            poison = k.get(self._poison, FLOATS)
            lost = b.bitcast(b.fcmp_unordered("uno", poison, poison), I16)
            lost = b.icmp_unsigned("!=", lost, ir.Constant(I16, 0))
            total = b.select(lost, k.number(NON_FINITE), b.sext(total, I64))
            offset = k.field(k.operation, OpField.COUNT)
            counts = k.at(k.address(k.sample, SampleField.COUNTS), offset)
            b.atomic_rmw("add", counts, total, "monotonic")
        b.ret_void()
