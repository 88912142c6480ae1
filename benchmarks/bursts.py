"""Steps in short bursts at real-time priority, so that a busy machine measures like a quiet one; needs root.

    python -m benchmarks.bursts [--scale default] [--batches 1,8] [--threads 1,2] [--bursts 8] [--steps 8]
        [--runtimes eager,int8,compiled] [--instruction-sets avx2,...] [--engines]

A burst is a few steps of one row, tens of milliseconds up to a second; all other processes wait for it. Then
all threads return to ordinary priority and sleep. Rows take turns. Helpers of runtime `compiled` always join
here, because steps between the bursts, among other processes, would make them rest.
"""

import argparse
import os
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch

from spikewatch.model.detector import Detector
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.compiled.threads import RestPolicy
from spikewatch.service.bench.model import load_scale, sparse_frames
from spikewatch.service.bench.other_engines import other_engines
from spikewatch.service.bench.report import machine_summary

PAUSE_S = 0.2
INPUT = (256, 320)


def set_priority(realtime: bool) -> None:
    """Give all threads of this process real-time priority, or ordinary priority."""
    policy, priority = (os.SCHED_FIFO, 1) if realtime else (os.SCHED_OTHER, 0)
    for task in os.listdir("/proc/self/task"):
        try:
            os.sched_setscheduler(int(task), policy, os.sched_param(priority))
        except ProcessLookupError:
            continue  # a thread that has ended meanwhile


def runtime_step(detector: Detector, batch: int, threads: int) -> Callable[[], object]:
    """Return a function that runs the next slice of `batch` endless streams."""
    bank, frames = detector.create_bank(batch), sparse_frames(detector, batch)

    def step() -> None:
        torch.set_num_threads(threads)
        detector.step_in_bank(frames, bank, range(batch))

    return step


def make_rows(options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """Return a function for each row: batch, threads, runtime."""
    loaded = load_scale(options.scale, INPUT)
    detectors = {name: Detector(loaded.network, loaded.spec, runtime=name) for name in options.runtimes}
    for name in options.instruction_sets:
        compiled = CompileOptions(name)
        detectors[f"compiled, {name}"] = Detector(
            loaded.network, loaded.spec, runtime="compiled", compile_options=compiled
        )
    rows: dict[str, Callable[[], object]] = {}
    for batch in options.batches:
        for threads in options.threads:
            for name, detector in detectors.items():
                rows[f"| {batch} | {threads} | {name}"] = runtime_step(detector, batch, threads)
            if options.engines:
                engines = other_engines(loaded, sparse_frames(loaded, batch), threads)
                rows |= {f"| {batch} | {threads} | {name}": run for name, run in engines.items()}
    return rows


def measure(rows: dict[str, Callable[[], object]], bursts: int, steps: int) -> dict[str, list[float]]:
    """Return milliseconds of each step, by row."""
    ms: dict[str, list[float]] = {name: [] for name in rows}
    for run in rows.values():
        run()
    for _ in range(bursts):
        for name, run in rows.items():
            run()
            set_priority(realtime=True)
            try:
                run()
                for _ in range(steps):
                    start_s = time.perf_counter()
                    run()
                    ms[name].append((time.perf_counter() - start_s) * 1e3)
            finally:
                set_priority(realtime=False)
            time.sleep(PAUSE_S)
    return ms


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words, numbers = (lambda text: text.split(",")), (lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--scale", default="default")
    parser.add_argument("--runtimes", type=words, default=["eager", "int8", "compiled"])
    parser.add_argument("--instruction-sets", type=words, default=[])
    parser.add_argument("--batches", type=numbers, default=[1, 8])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--bursts", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--engines", action="store_true")
    options = parser.parse_args()
    with mock.patch.object(RestPolicy, "may_join", return_value=True):
        ms = measure(make_rows(options), options.bursts, options.steps)
    print(f"{options.scale}, {options.bursts} bursts of {options.steps} steps; {machine_summary()}\n")
    print("| batch | threads | runtime | min ms | median ms | p90 ms |\n|---:|---:|---|---:|---:|---:|")
    for name, values in ms.items():
        low, median, high = min(values), np.median(values), np.percentile(values, 90)
        print(f"{name} | {low:.2f} | {median:.2f} | {high:.2f} |")


if __name__ == "__main__":
    main()
