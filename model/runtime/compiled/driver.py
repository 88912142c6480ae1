"""Code that runs a table of operations: one sample alone, a batch, and threads that help.

    run_sample(operation, ticket, sample)   all operations of a table for one sample; itself a kernel
    work(control, thread)                   run a step beside any other threads that are inside it
    step(control)                           open the gate, wake helpers, work, close the gate
    help(control, thread)                   what a helper does until it is told to end

Threads draw tickets from atomic counters, operation by operation. An operation starts when the tickets of the
one before are done, not when all threads have come: a helper that sleeps, or has lost its core between two
tickets, costs nothing. Even threads draw from the front and odd ones from the back, so rows stay in the L2
cache of the core that made them.

A helper that loses its core within a ticket does hold the step up until it runs again; `threads.py` lets such
helpers rest.
"""

from enum import IntEnum
from typing import Any

from llvmlite import ir

from spikewatch.model.runtime.compiled.abi import (
    COUNTER_FIELDS,
    GATE_CLOSED,
    OP_FIELDS,
    SAMPLE_FIELDS,
    SLEEPERS_OFFSET,
    WORD,
    ControlField,
    CounterField,
    OpField,
    SampleField,
)
from spikewatch.model.runtime.compiled.emitter import I32, I64, PTR, VOID, Emitter, Value
from spikewatch.model.runtime.compiled.epilogue import Kernel
from spikewatch.model.runtime.compiled.instruction_sets import InstructionSet

FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98}
"""Machine -> number of the system call `futex` on Linux."""

FUTEX_WAIT, FUTEX_WAKE = 128, 129
"""Private to this process."""

SPINS = 2000
"""Looks at a counter before a thread that waits yields its core; 0.03 to 0.1 ms."""

HELPER_SPINS = 6000
"""Looks at the number of the step before a helper falls asleep; longer than Python needs between steps."""

_KERNEL = ir.FunctionType(VOID, (PTR, I64, PTR))


class Driver(Emitter):
    """Builds one function of the driver; the first argument is a control block, or a row of a table."""

    def __init__(self, module: Any, name: str, arguments: tuple[Any, ...], target: InstructionSet) -> None:
        super().__init__(module, name, arguments, target)
        self.base = self.arguments[0]

    def call_kernel(self, operation: Value, ticket: Value, sample: Value) -> None:
        """Call the kernel of an operation."""
        kernel = self.load(operation, WORD * OpField.FUNCTION, _KERNEL.as_pointer(), WORD)
        self.build.call(kernel, (operation, ticket, sample))

    def entry(self, array: Value, index: Value, fields: int) -> Value:
        """Return the address of a row of a table."""
        return self.at(array, self.mul(index, fields * WORD))

    def atomic_add(self, base: Value, field: IntEnum, amount: int, order: str = "monotonic") -> Value:
        """Add to a shared field; return its former value."""
        return self.build.atomic_rmw("add", self.at(base, WORD * field), self.number(amount), order)

    def load_shared(self, base: Value, offset: int, kind: Any, order: str = "acquire") -> Value:
        """Read a shared field; later reads see what was written before it."""
        return self.build.load_atomic(self.at(base, offset), order, kind.width // 8, typ=kind)

    def at_least(self, a: Value, b: Value) -> Value:
        """Return a >= b."""
        return self.build.icmp_signed(">=", a, b)

    def pause(self) -> None:
        """Tell the core that this is a waiting loop."""
        if self.target.triple.startswith("aarch64") or self.target.name.startswith("neon"):
            self.call("llvm.aarch64.hint", VOID, (ir.Constant(I32, 1),))
        elif self.target.name != "generic":
            self.call("llvm.x86.sse2.pause", VOID, ())

    def futex(self, number: int, address: Value, action: int, value: Value) -> None:
        """Sleep on, or wake sleepers of, an int32."""
        function = self.module.globals.get("syscall") or ir.Function(
            self.module, ir.FunctionType(I64, (I64,), var_arg=True), "syscall"
        )
        null, zero = ir.Constant(PTR, None), ir.Constant(I32, 0)
        arguments = (self.number(number), address, ir.Constant(I32, action), value, null, null, zero)
        self.build.call(function, arguments)


def _run_sample(k: Kernel) -> None:
    """Run the table at field SOURCE, with as many operations as field WEIGHT says, on one sample."""
    table, operations = k.address(k.operation, OpField.SOURCE), k.field(k.operation, OpField.WEIGHT)

    def operation(i: Value) -> None:
        row = k.at(table, k.mul(i, OP_FIELDS * WORD))
        kernel = k.load(row, WORD * OpField.FUNCTION, _KERNEL.as_pointer(), WORD)
        k.loop(k.field(row, OpField.TICKETS), lambda ticket: k.build.call(kernel, (row, ticket, k.sample)))

    k.loop(operations, operation)
    k.build.ret_void()


def _work(k: Driver) -> None:
    control, thread = k.arguments
    table, samples = (k.address(control, field) for field in (ControlField.TABLE, ControlField.SAMPLES))
    counters, batch = k.address(control, ControlField.COUNTERS), k.field(control, ControlField.BATCH)
    offset = k.mul(thread, k.field(control, ControlField.ARENA_BYTES))
    arena = k.at(k.address(control, ControlField.ARENAS), offset)
    own_arenas = k.build.icmp_signed("!=", k.field(control, ControlField.OWN_ARENAS), k.number(0))
    odd = k.build.trunc(thread, ir.IntType(1))

    def operation(i: Value) -> None:
        row, counter = k.entry(table, i, OP_FIELDS), k.entry(counters, i, COUNTER_FIELDS)
        tickets = k.field(row, OpField.TICKETS)
        total = k.mul(tickets, batch)
        end = k.build.select(odd, k.number(WORD * CounterField.BACK), k.number(WORD * CounterField.FRONT))
        drawn_here = k.at(counter, end)
        with k.forever() as leave_if:
            leave_if(k.at_least(k.atomic_add(counter, CounterField.TAKEN, 1), total))
            n = k.build.atomic_rmw("add", drawn_here, k.number(1), "monotonic")
            ticket = k.build.select(odd, k.build.sub(k.build.sub(total, k.number(1)), n), n)
            sample = k.entry(samples, k.build.udiv(ticket, tickets), SAMPLE_FIELDS)
            with k.build.if_then(own_arenas):
                k.store(arena, sample, WORD * SampleField.ARENA, WORD)
            k.call_kernel(row, k.build.urem(ticket, tickets), sample)
            k.atomic_add(counter, CounterField.DONE, 1, "release")
        _wait(k, lambda: k.at_least(k.load_shared(counter, WORD * CounterField.DONE, I64), total))

    k.loop(k.field(control, ControlField.OPERATIONS), operation)
    k.build.ret_void()


def _wait(k: Driver, ready: Any) -> None:
    """Spin until a condition holds; yield the core now and then, because a helper may need it."""
    spins = k.variable(I64, k.number(0))
    with k.forever() as leave_if:
        leave_if(ready())
        k.pause()
        k.set(spins, k.add(k.get(spins, I64), 1))
        with k.build.if_then(k.at_least(k.get(spins, I64), k.number(SPINS))):
            k.set(spins, k.number(0))
            k.call("sched_yield", I32, ())


def _step(k: Driver, futex: int) -> None:
    """Run a step with helpers, which need not come. Does not wait for those that are still leaving."""
    control = k.base
    k.atomic_add(control, ControlField.GATE, -GATE_CLOSED, "seq_cst")
    epoch = k.at(control, WORD * ControlField.EPOCH)
    k.build.atomic_rmw("add", epoch, ir.Constant(I32, 1), "seq_cst")
    sleepers = k.load_shared(control, SLEEPERS_OFFSET, I32, "seq_cst")
    with k.build.if_then(k.build.icmp_signed(">", sleepers, ir.Constant(I32, 0))):
        k.futex(futex, epoch, FUTEX_WAKE, ir.Constant(I32, GATE_CLOSED))
    work = k.module.globals["work"]
    k.build.call(work, (control, k.number(0)))
    k.atomic_add(control, ControlField.GATE, GATE_CLOSED, "seq_cst")
    k.build.ret_void()


def _help(k: Driver, futex: int) -> None:
    """Spin a little, sleep, help; until the epoch is negative."""
    control, thread = k.arguments
    epoch, sleepers = k.at(control, WORD * ControlField.EPOCH), k.at(control, SLEEPERS_OFFSET)

    def current() -> Value:
        return k.load_shared(control, WORD * ControlField.EPOCH, I32)

    last = k.variable(I32, ir.Constant(I32, 0))
    spins = k.variable(I64, k.number(0))
    with k.forever() as end_if:
        k.set(spins, k.number(0))
        with k.forever() as wake_if:
            wake_if(k.build.icmp_signed("!=", current(), k.get(last, I32)))
            k.pause()
            k.set(spins, k.add(k.get(spins, I64), 1))
            with k.build.if_then(k.at_least(k.get(spins, I64), k.number(HELPER_SPINS))):
                k.build.atomic_rmw("add", sleepers, ir.Constant(I32, 1), "seq_cst")
                k.futex(futex, epoch, FUTEX_WAIT, k.get(last, I32))
                k.build.atomic_rmw("sub", sleepers, ir.Constant(I32, 1), "seq_cst")
        k.set(last, current())
        end_if(k.build.icmp_signed("<", k.get(last, I32), ir.Constant(I32, 0)))
        inside = k.atomic_add(control, ControlField.GATE, 1, "seq_cst")
        with k.build.if_then(k.build.icmp_signed("<", inside, k.number(GATE_CLOSED))):
            k.build.call(k.module.globals["work"], (control, thread))
        k.atomic_add(control, ControlField.GATE, -1, "seq_cst")
    k.build.ret_void()


def futex_number(system: str, machine: str) -> int | None:
    """Return the number of the system call; None where there is none, and steps run on one thread."""
    return FUTEX_NUMBERS.get(machine) if system == "Linux" else None


def build_driver(module: Any, target: InstructionSet, futex: int | None) -> None:
    """Write the driver into a module."""
    _run_sample(Kernel(module, "run_sample", target))
    _work(Driver(module, "work", (PTR, I64), target))
    if futex is not None:
        _step(Driver(module, "step", (PTR,), target), futex)
        _help(Driver(module, "help", (PTR, I64), target), futex)
