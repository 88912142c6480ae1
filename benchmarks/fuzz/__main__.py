"""Fuzz every reader of foreign bytes, one target after the other, and report.

    python -m benchmarks.fuzz --seconds 60
    python -m benchmarks.fuzz --target evt3 --seconds 36000 --found out/fuzz

Reports inputs tried, findings and peak memory of each target. A target ends at its first finding: an
exception that is not the reader's own error, a wrong result, an input that takes over 20 s, or memory beyond
2 GiB. The input is then in the folder `--found`; exit status 1. Needs atheris of the extra `dev`.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.fuzz.run import fuzz_target
from benchmarks.fuzz.targets import TARGETS


def main() -> int:
    """Command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", action="append", choices=TARGETS, help="default: all; repeatable")
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--inputs", type=int, help="stop a target after this many inputs")
    parser.add_argument("--found", type=Path, default=Path("out/fuzz"), help="folder of inputs that failed")
    arguments = parser.parse_args()
    print("| target | inputs | seconds | peak memory, MB | finding |\n|---|---:|---:|---:|---|")
    failed = False
    for name in arguments.target or TARGETS:
        report = fuzz_target(name, arguments.seconds, arguments.found, arguments.inputs)
        finding = report.finding or "none"
        print(
            f"| {name} | {report.inputs:,} | {report.seconds:.0f} | {report.peak_mb} | {finding} |",
            flush=True,
        )
        if report.finding:
            failed = True
            print(report.log, file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
