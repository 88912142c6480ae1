"""Judges the memory of a soak again, from its soak.json, after another time to warm up.

python -m benchmarks.soak.again benchmarks/results/soak.json --warm-minutes 10
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch

from benchmarks.soak.lives import Life, Lives
from benchmarks.soak.report import write
from benchmarks.soak.run import GROWS, Outcome, Plan, judge_memory
from benchmarks.soak.samples import Books, Sample
from benchmarks.soak.tally import Tally


def outcome_of(path: Path, warm_s: float) -> Outcome:
    """A run as it was written, but for its judgement of memory, which is made anew."""
    told = json.loads(path.read_text())
    plan = Plan(told["minutes"], seed=told["seed"], at_once=told["clients_at_once"], warm_s=warm_s)
    failures = [failure for failure in told["failures"] if GROWS not in failure]
    tally = Tally(*(Counter(told[name]) for name in ("clients", "counts", "errors")), failures)
    tally.counts["failures"] = len(failures)
    lives = Lives(None, {}, path.parent)
    lives.all = [Life(**life) for life in told["lives"]]
    outcome = Outcome(plan, tally, lives, told["model"], minutes=told["minutes"])
    outcome.samples = [Sample(**sample) for sample in told["samples"]]
    outcome.rests = [Sample(**rest) for rest in told["rests"]]
    outcome.books = [Books(**books) for books in told["books"]]
    judge_memory(outcome)
    return outcome


def main() -> None:
    """Write the reports anew, in the same folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("soak", type=Path)
    parser.add_argument("--warm-minutes", type=float, default=Plan(0).warm_s / 60)
    given = parser.parse_args()
    torch.set_num_threads(1)  # as the soak
    write(outcome_of(given.soak, given.warm_minutes * 60), given.soak.parent)
    print((given.soak.parent / "soak.md").read_text())


if __name__ == "__main__":
    main()
