"""Where a step spends its time: before, in `eager`, the arithmetic of the paper's code, and after.

    python -m benchmarks.profile [--scale default] [--runtimes eager,fp32,int8] [--out FILE.md]

Self time of each operator of torch, of the neurons' kernel, and of what is left: Python between them.
Watching takes time itself, most where operators are many and short: shares mean more than milliseconds.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from spikewatch.model.detector import Detector
from spikewatch.model.runtime import ilif_cpu
from spikewatch.service.bench.model import load_scale, sparse_frames
from spikewatch.service.bench.report import machine_summary

STEPS, MAX_SHOWN = 20, 8
KERNEL = "the neurons' kernel"


@contextmanager
def profile_kernel() -> Iterator[None]:
    """Let the profiler see the one kernel that is not torch's."""
    run = ilif_cpu.run_parallel

    def watched(*given: Any) -> None:
        with torch.profiler.record_function(KERNEL):
            run(*given)

    ilif_cpu.run_parallel = watched
    try:
        yield
    finally:
        ilif_cpu.run_parallel = run


def profile_steps(detector: Detector, batch: int) -> tuple[float, list[tuple[str, float, float]]]:
    """Milliseconds of a step, and of each operator: name, milliseconds and calls in a step."""
    bank, frames, slots = detector.create_bank(batch), sparse_frames(detector, batch), range(batch)
    for _ in range(3):
        detector.step_in_bank(frames, bank, slots)
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with profile_kernel(), torch.profiler.profile(activities=cpu) as profile:
        began = time.perf_counter()
        for _ in range(STEPS):
            detector.step_in_bank(frames, bank, slots)
        whole_ms = (time.perf_counter() - began) * 1e3 / STEPS
    found = [
        (event.key, event.self_cpu_time_total / 1e3 / STEPS, event.count / STEPS)
        for event in profile.key_averages()
    ]
    return whole_ms, sorted(found, key=lambda row: -row[1])


def profile_table(name: str, batch: int, whole_ms: float, rows: list[tuple[str, float, float]]) -> str:
    """Markdown."""
    lines = [f"**{name}, batch {batch}: {whole_ms:.1f} ms a step**", ""]
    lines += ["| operator | ms | share | calls |", "|---|---:|---:|---:|"]
    others = rows[MAX_SHOWN:]
    shown = [*rows[:MAX_SHOWN], ("other operators", sum(r[1] for r in others), sum(r[2] for r in others))]
    shown.append(("between operators", max(whole_ms - sum(r[1] for r in rows), 0.0), 0))
    for operator, ms, calls in shown:
        lines.append(f"| {operator} | {ms:.2f} | {ms / whole_ms:.0%} | {calls:.0f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="default")
    parser.add_argument("--runtimes", default="eager,fp32,int8x2,int8")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    loaded = load_scale(given.scale, (256, 320))
    parts = [f"Where a step of `{given.scale}` spends its time, {STEPS} steps. {machine_summary()}", ""]
    for batch in map(int, given.batches.split(",")):
        for runtime in given.runtimes.split(","):
            detector = Detector(loaded.network, loaded.spec, runtime=runtime)
            parts.append(profile_table(runtime, batch, *profile_steps(detector, batch)))
    text = "\n".join(parts)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
