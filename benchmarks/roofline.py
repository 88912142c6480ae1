"""Roofline of the compiled runtime by layer: time of each operation beside what one core could do.

    python -m benchmarks.roofline [--instruction-set auto] [--turns 40] [--realtime]

The limit of an operation is its byte products at the core's rate, plus its float products at theirs, plus its
membranes at the rate at which memory of their size is rewritten. Rates are measured first, in the same run.
Times are the fastest of all turns: one thread, operations in order, each timed by itself. `--realtime` (root)
lets all other processes wait for a turn.
"""

import argparse
import ctypes
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.bursts import PAUSE_S, set_priority
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.detector import Detector
from spikewatch.model.runtime.compiled.abi import SAMPLE_FIELDS, OpField, SampleField
from spikewatch.model.runtime.compiled.byte_products import dot
from spikewatch.model.runtime.compiled.emitter import (
    BYTE_LANES,
    BYTES,
    FLOATS,
    I64,
    INTS,
    PTR,
    Emitter,
    Value,
    constant,
)
from spikewatch.model.runtime.compiled.instruction_sets import InstructionSet
from spikewatch.model.runtime.compiled.network import CompiledNetwork
from spikewatch.model.runtime.compiled.object_cache import ObjectCache
from spikewatch.model.runtime.compiled.object_code import load_code
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.compiled_tensors import CompiledTensorNetwork
from spikewatch.model.runtime.factorise import factorise_network
from spikewatch.service.bench.model import sparse_frames
from spikewatch.service.bench.report import machine_summary

REPEATS = 20
ITERATIONS = 10_000
D_MAX = 4


@dataclass(frozen=True)
class Rates:
    """Rates of one core: 10^9 byte and float multiply-accumulates and membrane bytes a second."""

    bytes_: float
    floats: float
    membranes: float


def _peak(real: bool) -> Callable[[Any, InstructionSet], None]:
    """Build `run(memory, n)`: n times one product for each sum that fits into the registers."""

    def build(module: Any, target: InstructionSet) -> None:
        k = Emitter(module, "run", (PTR, I64), target)
        memory, count = k.arguments
        kind, item = (FLOATS, FLOATS) if real else (INTS, BYTE_LANES)
        sums = [k.variable(kind, k.load(memory, 256 + BYTES * i, kind)) for i in range(target.accumulators)]
        weights = k.load(memory, BYTES, item)

        def body(i: Value) -> None:
            # loaded anew, lest a product that does not change leave the loop
            value = k.load(memory, k.mul(k.build.and_(i, k.number(1)), BYTES), item)
            for slot in sums:
                total = k.get(slot, kind)
                k.set(
                    slot,
                    k.multiply_add(value, weights, total) if real else dot(k, total, value, weights, D_MAX),
                )

        k.loop(count, body)
        for i, slot in enumerate(sums):
            k.store(k.get(slot, kind), memory, 256 + BYTES * i)
        k.build.ret_void()

    return build


def _rewrite(module: Any, target: InstructionSet) -> None:
    """Build `run(memory, n)`: halve n vectors of floats."""
    k = Emitter(module, "run", (PTR, I64), target)
    memory, count = k.arguments

    def body(i: Value) -> None:
        at = k.mul(i, BYTES)
        k.store(k.build.fmul(k.load(memory, at, FLOATS), constant(FLOATS, 0.5)), memory, at)

    k.loop(count, body)
    k.build.ret_void()


def measure_rates(target: InstructionSet, state_bytes: int) -> Rates:
    """Measure the three rates."""
    memory = np.zeros(state_bytes + 4096, np.uint8)
    address = memory.ctypes.data + -memory.ctypes.data % BYTES
    products = ITERATIONS * target.accumulators
    cases: list[tuple[Callable[[Any, InstructionSet], None], int, int]] = [
        (_peak(False), ITERATIONS, products * BYTES),
        (_peak(True), ITERATIONS, products * BYTES // 4),
        (_rewrite, state_bytes // BYTES, state_bytes),
    ]
    rates = []
    for build, count, work in cases:
        code = load_code(lambda module, build=build: build(module, target), "", target, ObjectCache(None))
        run = code.function("run", ctypes.c_void_p, ctypes.c_int64)
        best_s = min(_timed(lambda run=run, count=count: run(address, count)) for _ in range(REPEATS))
        rates.append(work / best_s / 1e9)
    return Rates(*rates)


def _timed(run: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    run()
    return time.perf_counter() - start_s


@contextmanager
def _turn(realtime: bool) -> Iterator[None]:
    if not realtime:
        yield
        return
    set_priority(realtime=True)
    try:
        yield
    finally:
        set_priority(realtime=False)
        time.sleep(PAUSE_S)


def measure_operations(
    network: CompiledNetwork, detector: Detector, turns: int, realtime: bool
) -> list[float]:
    """Return the fastest seconds of each operation."""
    frames, bank = sparse_frames(detector, 1), detector.create_bank(1)
    detector.step_in_bank(frames, bank, [0])  # also binds the bank
    table = network._table
    arena, output = np.zeros(network._executor._arena_bytes + 4096, np.uint8), np.zeros(1 << 24, np.uint8)
    counts, sample = np.zeros(len(network._names), np.int64), np.zeros(SAMPLE_FIELDS, np.int64)
    sample[SampleField.ARENA] = arena.ctypes.data + -arena.ctypes.data % 4096
    sample[SampleField.COUNTS], sample[SampleField.FRAME] = counts.ctypes.data, frames.data_ptr()
    sample[SampleField.OUTPUT] = output.ctypes.data
    run_sample = network._executor._driver.function(
        "run_sample", ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p
    )
    one = np.zeros(len(table[0]), np.int64)
    one[OpField.WEIGHT] = 1
    best = [1.0] * len(table)
    for _ in range(turns):
        with _turn(realtime):
            for i in range(len(table)):
                one[OpField.SOURCE] = table[i:].ctypes.data
                took_s = _timed(lambda: run_sample(one.ctypes.data, 0, sample.ctypes.data))
                best[i] = min(best[i], took_s)
    return best


def print_table(network: CompiledNetwork, detector: Detector, seconds: list[float], rates: Rates) -> None:
    """Print a row for each layer, and sums by kind of operation."""
    factorised, layers = factorise_network(detector.network), {layer.name: layer for layer in detector.layers}
    products: dict[str, list[float]] = {}
    for name, layer in layers.items():
        conv = factorised.encoder.conv if name == "encoder" else factorised.get_submodule(name).conv
        parts = list(conv) if isinstance(conv, nn.Sequential) else [conv]
        products[name] = [part.weight.numel() * layer.out_height * layer.out_width / 1e6 for part in parts]
    ms: Counter[str] = Counter()
    for label, took_s in zip(network._program.labels, seconds, strict=True):
        ms[label] += took_s * 1e3
    print("| layer | MMAC bytes | MMAC floats | membranes kB | ms | limit ms | reached |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    sums = np.zeros(5)
    for name, macs in products.items():
        of_bytes, of_floats = (0.0, macs[0]) if name == "encoder" else (macs[0], sum(macs[1:]))
        state = 0.0 if name == "encoder" else layers[name].neurons * 4 / 1e3
        limit = of_bytes / rates.bytes_ + of_floats / rates.floats + state / 1e3 / rates.membranes
        row = np.array((of_bytes, of_floats, state, ms[name], limit))
        sums += row
        _print_row(name, row)
    _print_row("all layers", sums)
    others = {name: value for name, value in ms.items() if name not in layers}
    print("\nBesides: " + ", ".join(f"{name} {value:.3f} ms" for name, value in others.items()))


def _print_row(name: str, row: Any) -> None:
    b, f, state, took, limit = row
    print(f"| {name} | {b:.2f} | {f:.2f} | {state:.0f} | {took:.3f} | {limit:.3f} | {limit / took:.0%} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instruction-set", default="auto")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--realtime", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    compile_options = CompileOptions(options.instruction_set)
    detector = load_detector(runtime="compiled", compile_options=compile_options)
    assert detector._networks is not None
    runtime = detector._networks.in_bank
    assert isinstance(runtime, CompiledTensorNetwork)
    network = runtime.compiled
    with _turn(options.realtime):
        rates = measure_rates(network.target, detector.state_bytes)
    seconds = measure_operations(network, detector, options.turns, options.realtime)
    print(f"{network.target.name}; {machine_summary()}\n")
    print(
        f"One core: {rates.bytes_:.0f} GMAC/s on bytes, {rates.floats:.0f} on floats, "
        f"{rates.membranes:.0f} GB/s of membranes rewritten.\n"
    )
    print_table(network, detector, seconds, rates)


if __name__ == "__main__":
    main()
