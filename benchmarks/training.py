"""Steps of the optimiser on made-up frames: one process of all threads against one process a core.

    python -m benchmarks.training [--size 128x160] [--lanes 16] [--steps 2]

Prints slices learned from in a second, all processes together, and the ratio to the first row.
Processes do not exchange gradients here, which `torchrun` would add.
"""

import argparse
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context

import torch

from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.state import init_state
from spikewatch.model.training.learner.learner import Trainer
from spikewatch.model.training.learner.recipe import TrainingRecipe
from spikewatch.model.training.learner.unroll import StreamState
from spikewatch.model.training.loader.batch import Batch, Targets

CAP = 8


@dataclass(frozen=True, slots=True)
class TrainingCase:
    """One process's share of the work."""

    height: int
    width: int
    lanes: int
    steps: int
    threads: int
    half: torch.dtype | None
    repeats: int


def synthetic_batch(case: TrainingCase) -> Batch:
    """Sparse frames, each with one box."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.steps, case.lanes, 2, case.height, case.width)
    fired = torch.rand(shape, generator=generator) < 0.08
    frames = fired * torch.randint(1, CAP + 1, shape, generator=generator, dtype=torch.uint8)
    lane = torch.arange(case.lanes)
    boxes = torch.tensor([[8.0, 8, 40, 40]]).repeat(case.lanes, 1)
    targets = Targets(torch.ones(case.lanes, dtype=torch.bool), lane, boxes, torch.zeros_like(lane))
    fresh = torch.zeros(case.steps, case.lanes, dtype=torch.bool)
    return Batch(frames, float(CAP), fresh, (targets,) * case.steps)


def slices_per_second(case: TrainingCase) -> float:
    """Of one process, after three steps to warm up."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    network = build_network(SpikeYOLOConfig()).train()
    learner = Trainer(network, 2, TrainingRecipe().with_adamw(), case.half)
    shapes = trace_shapes(network, case.height, case.width).state_shapes
    lanes = StreamState(init_state(shapes, case.lanes), (), torch.zeros(case.lanes, dtype=torch.int64))
    batch = synthetic_batch(case)
    for index in range(case.repeats + 3):
        if index == 3:
            start = time.perf_counter()
        _, lanes = learner.step(batch, lanes, 1.0)
    return case.repeats * case.lanes * case.steps / (time.perf_counter() - start)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="128x160")
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=6)
    given = parser.parse_args()
    height, width = map(int, given.size.split("x"))
    cores = os.cpu_count() or 1
    os.environ["OMP_WAIT_POLICY"] = "passive"
    print(f"{platform.processor() or platform.machine()}, {cores} cores, torch {torch.__version__}, ", end="")
    print(f"scale t, {given.size}, {given.lanes} lanes in all, {given.steps} slices a step\n")
    print("| processes | threads of each | precision | slices/s | against the first |\n|---|---|---|---|---|")
    first = 0.0
    for processes, half in product(sorted({1, cores}), (None, torch.bfloat16)):
        lanes, threads = given.lanes // processes, cores // processes
        case = TrainingCase(height, width, lanes, given.steps, threads, half, given.repeats)
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            rate = sum(pool.map(slices_per_second, [case] * processes))
        first = first or rate
        precision = "float32" if half is None else "bfloat16"
        print(f"| {processes} | {threads} | {precision} | {rate:.1f} | {rate / first:.2f} |", flush=True)


if __name__ == "__main__":
    main()
