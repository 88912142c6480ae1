"""Judges the memory of a soak again, from its soak.json, after another time to warm up.

python -m benchmarks.soak.reevaluate benchmarks/results/soak.json --warm-minutes 10
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch

from benchmarks.soak.counters import SoakCounters
from benchmarks.soak.report import write_report
from benchmarks.soak.run import GROWTH_FAILURE, SoakOptions, SoakResult, check_memory_growth
from benchmarks.soak.samples import Ledger, Sample
from benchmarks.soak.service_process import ProcessRun, ServiceProcess


def load_result(path: Path, warm_s: float) -> SoakResult:
    """A run as it was written, but for its judgement of memory, which is made anew."""
    told = json.loads(path.read_text())
    plan = SoakOptions(told["minutes"], seed=told["seed"], concurrency=told["clients_at_once"], warm_s=warm_s)
    failures = [failure for failure in told["failures"] if GROWTH_FAILURE not in failure]
    tally = SoakCounters(*(Counter(told[name]) for name in ("clients", "counts", "errors")), failures)
    tally.counts["failures"] = len(failures)
    lives = ServiceProcess(None, {}, path.parent)
    lives.runs = [ProcessRun(**life) for life in told["lives"]]
    outcome = SoakResult(plan, tally, lives, told["model"], minutes=told["minutes"])
    outcome.samples = [Sample(**sample) for sample in told["samples"]]
    outcome.rests = [Sample(**rest) for rest in told["rests"]]
    outcome.ledgers = [Ledger(**books) for books in told["books"]]
    check_memory_growth(outcome)
    return outcome


def main() -> None:
    """Write the reports anew, in the same folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("soak", type=Path)
    parser.add_argument("--warm-minutes", type=float, default=SoakOptions(0).warm_s / 60)
    given = parser.parse_args()
    torch.set_num_threads(1)  # as the soak
    write_report(load_result(given.soak, given.warm_minutes * 60), given.soak.parent)
    print((given.soak.parent / "soak.md").read_text())


if __name__ == "__main__":
    main()
