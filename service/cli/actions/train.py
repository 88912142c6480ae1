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
from spikewatch.model.training.learner.learner import StepReport, Trainer
from spikewatch.model.training.learner.recipe import TrainingRecipe
from spikewatch.model.training.learner.run import ProcessRank, TrainingRun
from spikewatch.model.training.learner.run_folder import RunFolder
from spikewatch.model.training.learner.training_log import EpochReport
from spikewatch.service.cli.actions.train_data import DataOptions, open_training_data
from spikewatch.service.cli.actions.train_network import NetworkOptions, build_for_training
from spikewatch.service.cli.actions.train_processes import (
    half_precision_dtype,
    init_distributed,
    run_on_first_rank_first,
    select_device,
    shutdown_distributed,
)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How, and on what."""

    epochs: int
    optimizer: str
    learning_rate: float | None
    warmup: float
    seed: int
    device: str | None
    amp: bool | None
    loaders: int | None


def run_training(
    out: Path, network_options: NetworkOptions, data: DataOptions, options: TrainOptions, resume: bool
) -> None:
    """Prepare, train, and say where the weights are."""
    device = select_device(options.device)
    source = open_training_data(data)
    spec, start = build_for_training(network_options, data.dataset, source)
    if spec.config.beta_mode == "learned" and data.steps == 1:
        raise ConfigError("a learned beta acts from one slice to the next: train with two --steps or more")
    place = init_distributed(device)
    recipe, folder = _make_recipe(options), RunFolder(out)
    half = half_precision_dtype(device, options.amp)
    if place.is_first:
        folder.create_or_resume(_run_description(data, recipe, spec, half, place), resume)
    validate = None if data.validate_on == 0 else source.make_validator()
    batches = run_on_first_rank_first(
        place, lambda: source.make_batches(spec, options.seed, place.world_size)
    )
    torch.manual_seed(options.seed)
    network = build_network(spec.config) if start is None else start
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = recipe.for_steps(options.epochs * batches.batches_per_epoch)
    learner = Trainer(network, spec.slices, recipe, half, place.world_size > 1)
    loaders = options.loaders if options.loaders is not None else 4 * (device.type == "cuda")
    run = TrainingRun(learner, batches, spec, recipe, folder, validate, place, loaders)
    with _ProgressBar(recipe.epochs, place.is_first) as watch:
        count = sum(p.numel() for p in network.parameters())
        watch.print(f"{spec.name}: {count:,} parameters; {data.dataset.name}; {device}")
        run.fit(watch, folder.load_state())
    shutdown_distributed(place)
    if place.is_first:
        files = [name for name in ("best", "last") if (out / f"{name}.safetensors").exists()]
        print(f"wrote {' and '.join(f'{out}/{name}.safetensors' for name in files)} ({spec.training})")


def _make_recipe(options: TrainOptions) -> TrainingRecipe:
    recipe = TrainingRecipe(
        epochs=options.epochs, warmup_epochs=min(options.warmup, options.epochs / 4), seed=options.seed
    )
    if options.optimizer == "adamw":
        recipe = recipe.with_adamw()
    rate = options.learning_rate
    return recipe if rate is None else replace(recipe, learning_rate=rate)


def _run_description(
    data: DataOptions, recipe: TrainingRecipe, spec: ModelSpec, half: torch.dtype | None, process: ProcessRank
) -> Mapping[str, Any]:
    """What a run is: `run.json`, compared when it is resumed."""
    chosen = {name: value for name, value in asdict(data).items() if name not in ("cache", "cache_gb")}
    return {
        "data": chosen | {"dataset": str(data.dataset.resolve())},
        "model": spec.to_json(),
        "recipe": asdict(recipe),
        "precision": str(half or torch.float32),
        "processes": process.world_size,
    }


class _ProgressBar:
    """Progress of the epoch, and a line for each epoch that is done, on standard error."""

    def __init__(self, epochs: int, shown: bool) -> None:
        self._epochs = epochs
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True, quiet=not shown), transient=True)
        self._task = self._progress.add_task("training", total=None)

    def __enter__(self) -> "_ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def print(self, line: str) -> None:
        """A line above the bar."""
        self._progress.console.print(line, soft_wrap=True, highlight=False, markup=False)

    def on_step(self, epoch: int, steps_done: int, total_steps: int, report: StepReport | None) -> None:
        """See `Watch`."""
        loss = "" if report is None else f", loss {report.total:.2f}"
        self._progress.update(
            self._task,
            description=f"epoch {epoch}/{self._epochs}{loss}",
            completed=steps_done,
            total=total_steps,
        )

    def on_epoch(self, report: EpochReport) -> None:
        """See `Watch`."""
        scores = "" if report.ap is None else f"  AP {report.ap:.3f}  AP50 {report.ap50:.3f}"
        self.print(
            f"epoch {report.epoch:3d}  loss {report.loss:.3f} (box {report.box:.3f}, cls {report.cls:.3f}, "
            f"dfl {report.dfl:.3f}){scores}  {report.seconds:.0f} s"
        )
