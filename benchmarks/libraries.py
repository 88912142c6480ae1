"""Decoding of files beside other people's libraries, which live in an environment of their own.

    python -m venv other && other/bin/pip install expelliarmus faery
    python -m benchmarks.libraries other/bin/python [--out FILE.md]

Neither is a dependency: expelliarmus is GPL-2, faery LGPL-3. Each decodes the same synthetic recordings in a
process of its own, piece by piece but for expelliarmus, whose fast way is a whole file at once. Errors in
their output are not checked here.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from spikewatch.ingest.open import open_recording
from spikewatch.service.bench.ingest import (
    HEIGHT,
    WIDTH,
    encode_dat,
    encode_evt2,
    encode_evt3,
    synthetic_events,
)
from spikewatch.service.bench.measure import Quantiles
from spikewatch.service.bench.report import machine_summary

TURNS = 5
FORMATS: dict[str, tuple[str, Callable[..., bytes]]] = {
    "dat": ("td.dat", encode_dat),
    "evt2": ("evt2.raw", encode_evt2),
    "evt3": ("evt3.raw", encode_evt3),
}
PROGRAMS = {
    "expelliarmus": """
from expelliarmus import Wizard
def decode(path, format):
    return len(Wizard(encoding=format, fpath=path).read())
""",
    "faery": """
import faery
def decode(path, format):
    return sum(len(each) for each in faery.events_stream_from_file(path))
""",
}
TIMED = """
import json, sys, time
path, format = sys.argv[1:]
decode(path, format)
began = time.perf_counter()
count = decode(path, format)
print(json.dumps([count, time.perf_counter() - began]))
"""


def ours(path: str, format: str) -> int:
    """As `detect` reads a file."""
    with open_recording(path) as recording:
        return sum(len(events) for events in recording.chunks())


def make_header(format: str) -> bytes:
    """Return the header that camera vendors write before the data."""
    if format == "dat":
        return b"% Data file containing Event2D events.\n% Version 2\n" + (
            f"% Height {HEIGHT}\n% Width {WIDTH}\n".encode() + bytes((12, 8))
        )
    number = format.removeprefix("evt")
    return f"% evt {number}.0\n% format EVT{number};height={HEIGHT};width={WIDTH}\n% end\n".encode()


def time_decoding(python: str, program: str, path: Path, format: str) -> tuple[int, float]:
    """Events and seconds of the second of two decodings; 0 events where it fails."""
    command = [python, "-c", program + TIMED, str(path), format]
    done = subprocess.run(command, capture_output=True, text=True)
    return tuple(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else (0, 1.0)


def main() -> None:
    """Print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="of the environment that has them")
    parser.add_argument("--events", type=int, default=8_000_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    own = "from benchmarks.libraries import ours as decode\n"
    who = {"Spikewatch": (sys.executable, own)} | {n: (given.python, p) for n, p in PROGRAMS.items()}
    events = synthetic_events(given.events)
    lines = [f"{given.events:,} events from a file, {TURNS} runs. {machine_summary()}", ""]
    lines += [f"| M events/s | {' | '.join(who)} |", "|---|" + "---:|" * len(who)]
    with tempfile.TemporaryDirectory() as folder:
        for format, (name, encode) in FORMATS.items():
            path = Path(folder) / name
            path.write_bytes(make_header(format) + encode(events))
            found = {n: [time_decoding(*each, path, format) for _ in range(TURNS)] for n, each in who.items()}
            lines.append(f"| {format.upper()} | {' | '.join(map(speed_cell, found.values()))} |")
    text = "\n".join(lines)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n")


def speed_cell(found: list[tuple[int, float]]) -> str:
    """Million events a second."""
    if not all(count for count, _ in found):
        return "fails"
    return Quantiles.from_values([count / seconds / 1e6 for count, seconds in found]).text(0)


if __name__ == "__main__":
    main()
