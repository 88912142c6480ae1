"""Many clients for long at a service of our own, which is killed and restarted on the way.

    python -m benchmarks.soak --minutes 30 --out benchmarks/results

Clients come, break off, resume, fall silent, read slowly, post, upload and send garbage, at random from a
seed. Every window of every session that may lose none is held against its offline run, to the last bit.
Writes soak.md, soak.json and soak.png; exit status 1 on any loss, doubling, difference, error of the service
or growth of its memory. Needs the extras `plot` and `dev`.
"""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.soak.report import write_report
from benchmarks.soak.run import KILLS, SoakOptions, run_soak


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clients", type=int, default=8, help="at once")
    parser.add_argument("--weights", help="as `spikewatch serve` takes them; default: the shipped ones")
    parser.add_argument("--recordings", type=Path, help="folder of small real recordings to play too")
    parser.add_argument(
        "--kill",
        action="append",
        metavar="SHARE:SIGNAL",
        help="when to end the service, as a share of the time, such as 0.5:SIGTERM; may be repeated; "
        "default: 0.17:SIGKILL and 0.5:SIGTERM",
    )
    given = parser.parse_args()
    plan = SoakOptions(
        minutes=given.minutes,
        seed=given.seed,
        concurrency=given.clients,
        weights=given.weights,
        recordings=given.recordings,
        kills=KILLS if given.kill is None else tuple(map(_parse_kill, given.kill)),
    )
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        outcome = asyncio.run(run_soak(plan, Path(folder)))
        write_report(outcome, given.out)
    print((given.out / "soak.md").read_text())
    sys.exit(1 if outcome.counters.failures else 0)


def _parse_kill(text: str) -> tuple[float, signal.Signals]:
    share, _, name = text.partition(":")
    return float(share), signal.Signals[name]


if __name__ == "__main__":
    main()
