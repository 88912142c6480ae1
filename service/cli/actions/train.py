"""The work of `spikewatch train`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.build import build_network
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.learner.learner import Learner, StepReport
from spikewatch.model.training.learner.recipe import Recipe
from spikewatch.model.training.learner.run import Place, TrainingRun
from spikewatch.model.training.learner.run_folder import RunFolder
from spikewatch.model.training.learner.training_log import EpochReport
from spikewatch.service.cli.actions.train_data import Data, source_of
from spikewatch.service.cli.actions.train_network import Choice, network_of
from spikewatch.service.cli.actions.train_processes import (
    choose_device,
    first_then_others,
    half_precision,
    join,
    leave,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """How, and on what."""

    epochs: int
    optimizer: str
    learning_rate: float | None
    warmup: float
    seed: int
    device: str | None
    amp: bool | None
    loaders: int | None


def run_training(out: Path, chosen: Choice, data: Data, wish: Wish, resume: bool) -> None:
    """Prepare, train, and say where the weights are."""
    device = choose_device(wish.device)
    source = source_of(data)
    spec, start = network_of(chosen, data.dataset, source)
    if spec.config.beta_mode == "learned" and data.steps == 1:
        raise ConfigError("a learned beta acts from one slice to the next: train with two --steps or more")
    place = join(device)
    recipe, folder = _recipe(wish), RunFolder(out)
    half = half_precision(device, wish.amp)
    if place.first:
        folder.begin(_description(data, recipe, spec, half, place), resume)
    validate = None if data.validate_on == 0 else source.validation()
    batches = first_then_others(place, lambda: source.batches(spec, wish.seed, place.world))
    torch.manual_seed(wish.seed)
    network = build_network(spec.config) if start is None else start
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = recipe.for_steps(wish.epochs * batches.batches_per_epoch)
    learner = Learner(network, spec.slices, recipe, half, place.world > 1)
    loaders = wish.loaders if wish.loaders is not None else 4 * (device.type == "cuda")
    run = TrainingRun(learner, batches, spec, recipe, folder, validate, place, loaders)
    with _Bar(recipe.epochs, place.first) as watch:
        count = sum(p.numel() for p in network.parameters())
        watch.say(f"{spec.name}: {count:,} parameters; {data.dataset.name}; {device}")
        run.go(watch, folder.load())
    leave(place)
    if place.first:
        files = [name for name in ("best", "last") if (out / f"{name}.safetensors").exists()]
        print(f"wrote {' and '.join(f'{out}/{name}.safetensors' for name in files)} ({spec.training})")


def _recipe(wish: Wish) -> Recipe:
    recipe = Recipe(epochs=wish.epochs, warmup_epochs=min(wish.warmup, wish.epochs / 4), seed=wish.seed)
    if wish.optimizer == "adamw":
        recipe = recipe.with_adamw()
    rate = wish.learning_rate
    return recipe if rate is None else replace(recipe, learning_rate=rate)


def _description(
    data: Data, recipe: Recipe, spec: ModelSpec, half: torch.dtype | None, place: Place
) -> Mapping[str, Any]:
    """What a run is: `run.json`, compared when it is resumed."""
    chosen = {name: value for name, value in asdict(data).items() if name not in ("cache", "cache_gb")}
    return {
        "data": chosen | {"dataset": str(data.dataset.resolve())},
        "model": spec.to_json(),
        "recipe": asdict(recipe),
        "precision": str(half or torch.float32),
        "processes": place.world,
    }


class _Bar:
    """Progress of the epoch, and a line for each epoch that is done, on standard error."""

    def __init__(self, epochs: int, shown: bool) -> None:
        self._epochs = epochs
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True, quiet=not shown), transient=True)
        self._task = self._progress.add_task("training", total=None)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._progress.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def step(self, epoch: int, done: int, of: int, report: StepReport | None) -> None:
        """See `Watch`."""
        loss = "" if report is None else f", loss {report.total:.2f}"
        self._progress.update(
            self._task, description=f"epoch {epoch}/{self._epochs}{loss}", completed=done, total=of
        )

    def epoch(self, report: EpochReport) -> None:
        """See `Watch`."""
        scores = "" if report.ap is None else f"  AP {report.ap:.3f}  AP50 {report.ap50:.3f}"
        self.say(
            f"epoch {report.epoch:3d}  loss {report.loss:.3f} (box {report.box:.3f}, cls {report.cls:.3f}, "
            f"dfl {report.dfl:.3f}){scores}  {report.seconds:.0f} s"
        )
