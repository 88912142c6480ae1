"""Cost of reading HDF5 in a child process: start-up, and seconds per million events, next to one process.

    python -m benchmarks.isolation [--events N] [--repeats R]

Synthetic events in DSEC's layout, plain and compressed with Blosc and Zstandard. All rows are measured in
turn, `repeats` times over; a row is its median in wall-clock time, since a child's processor time is its own.
Prints a Markdown table.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import h5py
import hdf5plugin

from spikewatch.ingest.open import open_recording
from spikewatch.service.bench.ingest import HEIGHT, WIDTH, synthetic_events

COMPRESSIONS = {"plain": {}, "blosc-zstd": {"chunks": (1 << 16,), **hdf5plugin.Blosc(cname="zstd")}}


def write_events(path: Path, count: int, options: dict[str, object]) -> None:
    """Events in DSEC's layout."""
    events = synthetic_events(count)
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", data=events[name], **options)


def time_reading(path: Path, isolated: bool) -> tuple[float, float]:
    """Seconds to open, and to read all."""
    start = time.perf_counter()
    with open_recording(path, WIDTH, HEIGHT, isolated=isolated) as recording:
        opened = time.perf_counter()
        for _ in recording.chunks():
            pass
        return opened - start, time.perf_counter() - opened


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print("| file | open, one process | open, child | read, one process | read, child | ratio |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, options in COMPRESSIONS.items():
            path = Path(folder) / name
            write_events(path, arguments.events, options)
            time_reading(path, isolated=False)
            runs = [(time_reading(path, False), time_reading(path, True)) for _ in range(arguments.repeats)]
            one, child = (
                [statistics.median(times) for times in zip(*side, strict=True)]
                for side in zip(*runs, strict=True)
            )
            rates = [arguments.events / side[1] / 1e6 for side in (one, child)]
            print(
                f"| {name} | {one[0]:.2f} s | {child[0]:.2f} s | {rates[0]:.0f} M/s | {rates[1]:.0f} M/s "
                f"| {child[1] / one[1]:.1f} |"
            )


if __name__ == "__main__":
    main()
