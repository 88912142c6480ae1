"""One slice with the state carried, as the service runs it.

    python -m benchmarks.model [--scales t,n] [--batches 1,8] [--modes integer,spike]

Prints milliseconds and slices/s; a live camera at the default slice length (50 ms) sends 20 slices/s.
Ratios are to the first row, in one run.
"""

import argparse
import os
import platform
import statistics
import time
from itertools import product

import torch

from model.checkpoint import untrained_detector
from model.detector import Detector
from model.spike_driven import to_spike_driven


def step_ms(detector: Detector, batch: int, repeats: int) -> list[float]:
    """Milliseconds of each of `repeats` steps, after three to warm up."""
    generator = torch.Generator().manual_seed(0)
    frames = detector.blank_frames(batch)
    frames[torch.rand(frames.shape, generator=generator) < 0.06] = 0.25
    state, times = detector.init_state(batch), []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        state = detector.step(frames, state).state
        times.append((time.perf_counter() - start) * 1e3)
    return times[3:]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scales", default="t,n")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--modes", default="integer")
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, ",
        end="",
    )
    print(f"{torch.get_num_threads()} threads, 256x320, median (spread) of {given.repeats}\n")
    print("| scale | mode | batch | ms a step | slices/s | against the first |\n|---|---|---|---|---|---|")
    first = 0.0
    for scale, mode in product(given.scales.split(","), given.modes.split(",")):
        detector = untrained_detector(scale)
        if mode == "spike":
            detector = Detector(to_spike_driven(detector.network), detector.spec)
        for batch in map(int, given.batches.split(",")):
            times = step_ms(detector, batch, given.repeats)
            rate = batch / statistics.median(times) * 1e3
            first = first or rate
            cost = f"{statistics.median(times):.0f} ({min(times):.0f}-{max(times):.0f})"
            print(f"| {scale} | {mode} | {batch} | {cost} | {rate:.1f} | {rate / first:.2f} |")


if __name__ == "__main__":
    main()
