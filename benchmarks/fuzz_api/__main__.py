"""Send requests made from the OpenAPI description to a service of its own, and report.

    python -m benchmarks.fuzz_api --seconds 60
    python -m benchmarks.fuzz_api --seconds 36000 --out out/fuzz_api

Findings are undocumented status codes and content types, bodies that contradict the description, invalid
requests that are accepted, status 500, errors in the service's log, and its death; exit status 1. Needs
schemathesis of the extra `dev`.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.fuzz_api.run import fuzz_api


def main() -> int:
    """Command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz_api",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, help="default: a new one, which is printed")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz_api"), help="folder of the service's log")
    arguments = parser.parse_args()
    report = fuzz_api(arguments.seconds, arguments.out, arguments.seed)
    print(report.log)
    print(
        f"{report.requests:,} requests in {report.seconds:.0f} s, {report.links} links followed, "
        f"{report.opened:,} sessions opened; peak memory of the service {report.peak_mb} MB"
    )
    for finding in report.findings:
        print(f"finding: {finding}", file=sys.stderr)
    return int(bool(report.findings))


if __name__ == "__main__":
    sys.exit(main())
