"""Training log: `progress.csv`, TensorBoard files and `curves.png`."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from spikewatch.atomic_file import atomic_write
from spikewatch.model.training.learner.learner import StepReport


@dataclass(frozen=True, slots=True)
class EpochReport:
    """Report of one epoch: mean losses, and scores on the validation split, 0 to 1.

    Attributes:
        epoch: number of the epoch, from 1.
        box, cls, dfl, loss: means over the steps.
        gradient_norm: mean norm before clipping.
        learning_rate: learning rate of the last step.
        steps, labelled: number of optimiser steps, and of labelled slices in them.
        seconds, validation_seconds: duration of training and of validation.
        ap, ap50: scores of the averaged weights over all classes; None without validation.
        classes: name and AP50 of each class.
        selection: figure by which the best epoch is selected, see `validation.selection_score`.
        sets: name and value of the figures of further validation sets.
    """

    epoch: int
    box: float
    cls: float
    dfl: float
    loss: float
    gradient_norm: float
    learning_rate: float
    steps: int
    labelled: int
    seconds: float
    validation_seconds: float = 0.0
    ap: float | None = None
    ap50: float | None = None
    classes: tuple[tuple[str, float | None], ...] = ()
    selection: float | None = None
    sets: tuple[tuple[str, float | None], ...] = ()


def mean_report(epoch: int, steps: Sequence[StepReport], seconds: float) -> EpochReport:
    """Average the reports of the steps of an epoch, of which there is at least one."""

    def mean(name: str) -> float:
        return float(sum(getattr(step, name) for step in steps)) / len(steps)

    return EpochReport(
        epoch=epoch,
        box=mean("box"),
        cls=mean("cls"),
        dfl=mean("dfl"),
        loss=mean("total"),
        gradient_norm=mean("gradient_norm"),
        learning_rate=steps[-1].learning_rate,
        steps=len(steps),
        labelled=sum(step.labelled for step in steps),
        seconds=seconds,
    )


class TrainingLog:
    """Writer of epoch reports to `progress.csv` and TensorBoard; a resumed run continues both."""

    def __init__(self, folder: Path, class_names: Sequence[str], resume_at: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / "progress.csv"
        self._names = tuple(class_names)
        self.rows = [row for row in read_progress(self._path) if int(row["epoch"]) <= resume_at]
        self._tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_at + 1)
        self._write_all()

    def add(self, report: EpochReport) -> None:
        """Add the report of an epoch."""
        row = {name: value for name, value in asdict(report).items() if name not in ("classes", "sets")}
        row |= {f"ap50_{name}": value for name, value in report.classes} | dict(report.sets)
        self.rows.append({name: "" if value is None else str(value) for name, value in row.items()})
        self._write_all()
        for name, value in row.items():
            if value is not None and name != "epoch":
                self._tensorboard.add_scalar(f"{_metric_group(name)}/{name}", value, report.epoch)
        self._tensorboard.flush()

    def close(self) -> None:
        """Close the TensorBoard file."""
        self._tensorboard.close()

    def _write_all(self) -> None:
        columns = [field.name for field in fields(EpochReport) if field.name not in ("classes", "sets")]
        columns += [f"ap50_{name}" for name in self._names]
        columns = list(dict.fromkeys([*columns, *(name for row in self.rows for name in row)]))
        with atomic_write(self._path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)


def read_progress(path: Path) -> list[dict[str, str]]:
    """Read the rows of a `progress.csv`; none if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def plot_progress(rows: Sequence[dict[str, str]], path: Path) -> None:
    """Plot losses and scores over the epochs to a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for name in ("box", "cls", "dfl"):
        losses.plot(*_series(rows, name), label=name)
    for name in rows[-1]:
        if name.startswith("ap"):
            scores.plot(*_series(rows, name), label=name)
    losses.set(title="training loss", xlabel="epoch", ylabel="weighted loss")
    scores.set(title="validation", xlabel="epoch", ylabel="average precision", ylim=(0, 1))
    for axes in (losses, scores):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)


def _series(rows: Iterable[dict[str, str]], name: str) -> tuple[list[int], list[float]]:
    known = [(int(row["epoch"]), float(row[name])) for row in rows if row.get(name)]
    return [epoch for epoch, _ in known], [value for _, value in known]


def _metric_group(name: str) -> str:
    if name.startswith(("ap", "false_boxes", "selection")):
        return "validation"
    return "loss" if name in ("box", "cls", "dfl", "loss") else "run"
