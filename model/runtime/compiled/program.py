"""The program: a table of operations, the kernels that they call, and where their data lie."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spikewatch.model.runtime.compiled.abi import OP_FIELDS, OpField
from spikewatch.model.runtime.compiled.buffers import ArenaPlan, Buffer, Layout, Shape
from spikewatch.model.runtime.compiled.emitter import LANES
from spikewatch.model.runtime.compiled.epilogue import Kernel, KernelSpec, NeuronOutput, Output
from spikewatch.model.runtime.compiled.instruction_sets import InstructionSet
from spikewatch.model.runtime.compiled.weights import AlignedMemory, PackedWeights

Table = npt.NDArray[np.int64]

COUNT_BYTES = 8


@dataclass(frozen=True, slots=True)
class Neurons:
    """One layer of neurons.

    Attributes:
        name: the layer's name in states and counts.
        index: its place in the counts.
        channels, height, width: its shape.
        beta, gain, d_max: its constants.
    """

    name: str
    index: int
    channels: int
    height: int
    width: int
    beta: float
    gain: float
    d_max: int


@dataclass(frozen=True, slots=True)
class Target:
    """Channels of a buffer, from `first` on."""

    buffer: Buffer
    first: int = 0


@dataclass(frozen=True, slots=True)
class SpikeTarget:
    """Channels of a layer, from `first` on, that a kernel fires, and the buffer of the layer's spikes."""

    neurons: Neurons
    buffer: Buffer
    first: int = 0

    def at(self, first: int) -> "SpikeTarget":
        """Return the same layer from another channel on."""
        return SpikeTarget(self.neurons, self.buffer, first)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the results of an operation go: residual to add, floats to store, neurons to fire."""

    residual: Target | None = None
    floats: Target | None = None
    spikes: SpikeTarget | None = None
    logits: Target | None = None


@dataclass(frozen=True, slots=True)
class BankEntry:
    """Operation whose membranes start at a channel of a layer."""

    operation: int
    neurons: Neurons
    first_channel: int


@dataclass(slots=True)
class Program:
    """Program under construction, then finished.

    Attributes:
        target: the instruction set.
        bfloat16: membranes are bfloat16, not float32.
        arena: plan of the activations.
        memory: weights and constants.
        labels: the layer of each operation.
        output_bytes: size of the logits of one sample.
    """

    target: InstructionSet
    bfloat16: bool
    arena: ArenaPlan = field(default_factory=ArenaPlan)
    memory: AlignedMemory = field(default_factory=AlignedMemory)
    labels: list[str] = field(default_factory=list)
    bank_entries: list[BankEntry] = field(default_factory=list)
    infinite_buffers: list[Buffer] = field(default_factory=list)
    output_bytes: int = 0
    _rows: list[Table] = field(default_factory=list)
    _called: list[str] = field(default_factory=list)
    _kernels: dict[tuple[KernelSpec, Output], str] = field(default_factory=dict)

    def buffer(self, layout: Layout, height: int, width: int, channels: int, pad: int = 0) -> Buffer:
        """Allocate activations."""
        return self.arena.allocate(Shape(layout, height, width, channels, pad))

    def output_buffer(self, height: int, width: int, channels: int) -> Buffer:
        """Allocate logits, which lie in the output of the sample; channels are rounded up to vectors."""
        shape = Shape(Layout.FLOATS, height, width, -(-channels // LANES) * LANES)
        buffer = Buffer(shape, self.output_bytes)
        self.output_bytes += shape.nbytes
        return buffer

    def output_of(self, width: int, to: Destination) -> Output:
        """Return the part of a destination that is compiled into the kernel."""
        spikes, stored = to.spikes, to.logits or to.floats
        neuron = None
        if spikes:
            n = spikes.neurons
            grouped = spikes.buffer.shape.layout is Layout.GROUPED
            neuron = NeuronOutput(
                n.channels, spikes.buffer.geometry, grouped, n.d_max, n.gain != 1.0, self.bfloat16
            )
        return Output(
            width,
            to.residual.buffer.geometry if to.residual else None,
            stored.buffer.geometry if stored else None,
            neuron,
            to.logits is not None,
        )

    def add(
        self,
        label: str,
        spec: KernelSpec,
        tickets: int,
        source: int,
        output: Output,
        to: Destination,
        weights: PackedWeights | None = None,
    ) -> None:
        """Append an operation. Operations of equal shape share a kernel.

        Args:
            label: name of the layer, for profiles.
            spec: the kernel.
            tickets: into how many parts it is cut.
            source: offset of the input in the arena.
            output: `output_of(to)`.
            to: where results go.
            weights: parameters.
        """
        row = np.zeros(OP_FIELDS, np.int64)
        row[OpField.TICKETS], row[OpField.SOURCE] = tickets, source
        if weights:
            row[OpField.WEIGHT] = self.memory.hold(weights.weight)
            row[OpField.BIAS] = self.memory.hold(weights.bias)
            if weights.scale is not None:
                row[OpField.SCALE] = self.memory.hold(weights.scale)
        if to.residual:
            row[OpField.RESIDUAL] = to.residual.buffer.channel(to.residual.first)
        stored = to.logits or to.floats
        if stored:
            row[OpField.FLOATS] = stored.buffer.channel(stored.first)
        if to.spikes:
            self._add_neurons(row, to.spikes)
        name = f"{type(spec).__name__}_{len(self._kernels)}"
        self._called.append(self._kernels.setdefault((spec, output), name))
        self._rows.append(row)
        self.labels.append(label)

    def _add_neurons(self, row: Table, spikes: SpikeTarget) -> None:
        n = spikes.neurons
        row[OpField.SPIKES] = spikes.buffer.channel(spikes.first)
        row[OpField.NEURON] = self.memory.hold(np.array((n.beta, n.gain, n.d_max), np.float32))
        row[OpField.SLOT_BYTES] = n.channels * n.height * n.width * self.state_bytes
        row[OpField.COUNT] = COUNT_BYTES * n.index
        self.bank_entries.append(BankEntry(len(self._rows), n, spikes.first))

    @property
    def state_bytes(self) -> int:
        """Return the bytes of a membrane."""
        return 2 if self.bfloat16 else 4

    @property
    def source(self) -> str:
        """Return a text that determines all kernels, together with the code of this package."""
        return repr([(name, spec, output) for (spec, output), name in self._kernels.items()])

    def generate(self, module: object) -> None:
        """Write all kernels into a module."""
        for (spec, output), name in self._kernels.items():
            spec.generate(Kernel(module, name, self.target), output)

    @property
    def kernel_names(self) -> Sequence[str]:
        """Return the kernel of each operation."""
        return self._called

    def table(self) -> Table:
        """Return a copy of the table; functions and membranes are to be filled in."""
        return np.array(self._rows)
