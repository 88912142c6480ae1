"""Train and score networks that differ in T, D or beta: `python -m scripts.ablate DATASET OUT`.

One short recipe for all, which ranks them and no more. A window of 100 ms is cut into T slices, and a step of
the optimiser sees equally many windows, so that T slices cost T times as much. Of labels that are closer than
100 ms, those at multiples of 100 ms are kept, or windows would be cut shorter. Run it again to
resume: networks that are trained or scored already are skipped.
"""

import argparse
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WINDOW_US = 100_000
EPOCHS = 2
RECIPE = ("--optimizer", "adamw", "--learning-rate", "0.002", "--warmup", "0.5", "--epochs", EPOCHS)
STATES = ("carry", "reset")
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Variant:
    """T, D and beta of one row."""

    slices: int
    d_max: int
    beta: float

    @property
    def name(self) -> str:
        return f"T{self.slices}_D{self.d_max}_beta{self.beta:g}"


VARIANTS = (
    Variant(1, 4, 0.25),
    Variant(2, 4, 0.25),
    Variant(4, 4, 0.25),
    Variant(2, 1, 0.25),
    Variant(2, 2, 0.25),
    Variant(2, 4, 0.0),
    Variant(2, 4, 0.5),
)


def is_trained(folder: Path) -> bool:
    """Whether all epochs are in the journal."""
    journal = folder / "progress.csv"
    return journal.exists() and len(journal.read_text().splitlines()) > EPOCHS


def train_variant(variant: Variant, given: argparse.Namespace) -> None:
    """Weights in the variant's folder, last.safetensors."""
    folder = given.out / variant.name
    if is_trained(folder):
        return
    alone = ("--standalone", "--nproc-per-node", given.processes, "--no-python")
    launch = (BIN / "torchrun", *alone, BIN / "spikewatch")
    network = ("--slices", variant.slices, "--spikes", variant.d_max, "--beta", variant.beta)
    cut = ("--slice-us", WINDOW_US // variant.slices, "--size", given.size, "--steps", variant.slices)
    data = (
        "--cache",
        given.out / f"cache_{variant.slices}",
        "--batch",
        given.batch,
        "--batches",
        given.batches,
        *(() if given.limit is None else ("--limit", given.limit)),
    )
    run_command(
        *launch,
        "train",
        given.dataset,
        "--out",
        folder,
        *network,
        *cut,
        *data,
        *RECIPE,
        "--validate-on",
        0,
        "--resume",
    )


def thin_labels(dataset: Path, out: Path) -> Path:
    """A Gen1 folder of the same recordings, with those labels only at which a window ends."""
    for boxes in sorted(dataset.glob("*/*_bbox.npy")):
        events = boxes.with_name(boxes.name.replace("_bbox.npy", "_td.dat")).resolve()
        folder = out / boxes.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / events.name
        if not link.is_symlink():
            link.symlink_to(events)
        labels = np.load(boxes)
        time_us = labels["t" if "t" in labels.dtype.names else "ts"]
        np.save(folder / boxes.name, labels[time_us % WINDOW_US == 0])
    origin = dataset / "simulation.json"
    if origin.exists():
        shutil.copy(origin, out)
    return out


def evaluate_variant(folder: Path, dataset: Path, state: str) -> dict[str, Any]:
    """The report on the test split."""
    report = folder / f"{state}.json"
    if not report.exists():
        weights = folder / "last.safetensors"
        how = ("--state", state, "--runtime", "fp32", "--batch", 8)
        run_command(BIN / "spikewatch", "evaluate", dataset, "--weights", weights, *how, "--out", report)
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def run_command(*command: object) -> None:
    """A command that must succeed."""
    subprocess.run([str(word) for word in command], check=True)


def table_row(variant: Variant, carried: dict[str, Any], reset: dict[str, Any]) -> str:
    """One line of a Markdown table; cost is that of windows from rest, as in the paper."""
    scores = (each[name] * 100 for each in (carried, reset) for name in ("ap50", "ap"))
    energy = reset["energy_mj"]
    cells = [f"{variant.slices} x {variant.d_max}", f"{variant.beta:g}", *(f"{each:.1f}" for each in scores)]
    cells += [f"{reset['firing_rate']:.1%}", f"{energy['snn']:.3f}", f"{energy['ann']:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", default="128x160")
    parser.add_argument("--processes", type=int, default=1, help="one a core or GPU")
    parser.add_argument("--batch", type=int, default=16, help="windows a step, in each process")
    parser.add_argument("--batches", type=int, default=400, help="steps an epoch")
    parser.add_argument("--limit", type=int, help="train on the first recordings only")
    parser.add_argument("--at-once", type=int, default=1, help="rows that are trained side by side")
    given = parser.parse_args()
    given.dataset = thin_labels(given.dataset, given.out / "data")
    with ThreadPoolExecutor(given.at_once) as pool:
        list(pool.map(lambda variant: train_variant(variant, given), VARIANTS))
    rows = [
        table_row(
            variant, *(evaluate_variant(given.out / variant.name, given.dataset, state) for state in STATES)
        )
        for variant in VARIANTS
    ]
    print("| T x D | beta | AP50 carried | AP | AP50 reset | AP | firing rate | mJ | mJ as ANN |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
