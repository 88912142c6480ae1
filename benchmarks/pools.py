"""Effect of a second pool of compute threads, and of a camera's pauses, on the time of a step.

    python -m benchmarks.pools

The default weights, batch 1, each case in a process of its own: a worker thread steps in a loop, then every
50 ms; before, another thread may have computed in parallel too, which leaves a second pool behind.
"""

import argparse
import subprocess
import sys
import threading
import time

import torch

from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.runtime.parallel import claim_all_cores
from spikewatch.service.bench.measure import Quantiles
from spikewatch.service.bench.model import sparse_frames
from spikewatch.service.bench.report import machine_summary

STEPS, PERIOD_S = 60, 0.05


def measure_case(threads: int, pools: int) -> str:
    """A row: ms of a step in a loop, and with pauses."""
    torch.set_num_threads(threads if pools == 2 else 1)
    detector = load_detector(runtime="auto")
    bank, frames = detector.create_bank(1), sparse_frames(detector, 1)
    if pools == 2:
        detector.step_in_bank(frames, bank, [0])
    seconds: dict[bool, list[float]] = {False: [], True: []}

    def work() -> None:
        if pools == 1:
            claim_all_cores(threads)
        for _ in range(5):
            detector.step_in_bank(frames, bank, [0])
        for paused, found in seconds.items():
            for _ in range(STEPS):
                begun = time.perf_counter()
                detector.step_in_bank(frames, bank, [0])
                found.append(time.perf_counter() - begun)
                time.sleep(max(0.0, PERIOD_S - found[-1]) if paused else 0.0)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    cells = [Quantiles.from_values([1e3 * each for each in found]).text() for found in seconds.values()]
    return f"| {threads} | {pools} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs=2, type=int, metavar=("THREADS", "POOLS"), help="one row, here")
    given = parser.parse_args()
    if given.case:
        print(measure_case(*given.case))
        return
    print(
        f"{machine_summary()}\n\n| threads | pools | ms a step, in a loop | every 50 ms "
        "|\n|---:|---:|---:|---:|"
    )
    cores = str(torch.get_num_threads())
    for case in (("1", "1"), (cores, "1"), (cores, "2")):
        command = [sys.executable, "-m", "benchmarks.pools", "--case", *case]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="", flush=True)


if __name__ == "__main__":
    main()
