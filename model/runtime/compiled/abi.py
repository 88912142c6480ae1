"""Tables that Python writes and compiled code reads: rows of int64, addresses and numbers.

A kernel is a function `void kernel(operation, ticket, sample)`. An operation is one kernel with its
addresses; its work is cut into tickets, usually one for each row of its output. A sample is one session of
the batch.
"""

from enum import IntEnum

WORD = 8
"""Bytes of a field."""


class OpField(IntEnum):
    """Fields of an operation. Offsets lie in the arena, addresses anywhere.

    FUNCTION: address of the kernel.            TICKETS: into how many parts it is cut.
    SOURCE: offset of the input.                WEIGHT, SCALE, BIAS: addresses of the parameters.
    RESIDUAL: offset of values to add.          FLOATS: offset (of the sample's output, for logits).
    SPIKES: offset of the spikes it writes.     BANK: address of the layer's membranes in slot 0.
    SLOT_BYTES: bytes from one slot to the next.  COUNT: offset of the layer in the sample's spike counts.
    NEURON: address of beta, input gain and D, float32.
    """

    FUNCTION = 0
    TICKETS = 1
    SOURCE = 2
    WEIGHT = 3
    SCALE = 4
    BIAS = 5
    RESIDUAL = 6
    FLOATS = 7
    SPIKES = 8
    BANK = 9
    SLOT_BYTES = 10
    COUNT = 11
    NEURON = 12


OP_FIELDS = 16


class SampleField(IntEnum):
    """Fields of a sample: its arena, slot in the bank, spike counts [L], frame and logits."""

    ARENA = 0
    SLOT = 1
    COUNTS = 2
    FRAME = 3
    OUTPUT = 4


SAMPLE_FIELDS = 8


class ControlField(IntEnum):
    """Fields of a step.

    TABLE, OPERATIONS: address and length of the table.   SAMPLES, BATCH: address and number of samples.
    COUNTERS: address of one row of `CounterField` for each operation.
    ARENAS, ARENA_BYTES: address of the threads' arenas, and bytes from one to the next.
    OWN_ARENAS: 1 if each sample runs whole on one thread, in the arena of that thread.
    GATE: threads inside the step, plus GATE_CLOSED between steps.
    EPOCH, SLEEPERS: number of the step (negative: helpers end), and of helpers that sleep. Two int32.
    """

    TABLE = 0
    OPERATIONS = 1
    SAMPLES = 2
    BATCH = 3
    COUNTERS = 4
    ARENAS = 5
    ARENA_BYTES = 6
    OWN_ARENAS = 7
    GATE = 16
    EPOCH = 24


CONTROL_FIELDS = 32
SLEEPERS_OFFSET = ControlField.EPOCH * WORD + 4
"""Byte offset of SLEEPERS."""

GATE_CLOSED = 1 << 20
"""More than any number of helpers."""


class CounterField(IntEnum):
    """Counters of an operation: tickets taken, taken from the front, from the back, and done.

    DONE has a cache line of its own, because threads that wait read it while others take tickets.
    """

    TAKEN = 0
    FRONT = 1
    BACK = 2
    DONE = 8


COUNTER_FIELDS = 16

NON_FINITE = -(1 << 48)
"""Added to a spike count if a membrane is not finite. No number of spikes makes the sum positive."""
