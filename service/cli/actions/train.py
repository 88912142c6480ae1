"""The work of `spikewatch train`."""

from collections.abc import Mapping
from dataclasses import asdict, replace
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
from spikewatch.service.cli.actions.train_data import open_training_data
from spikewatch.service.cli.actions.train_network import build_for_training
from spikewatch.service.cli.actions.train_processes import (
    half_precision_dtype,
    init_distributed,
    run_on_first_rank_first,
    select_device,
    shutdown_distributed,
)
from spikewatch.service.cli.options.train import TrainOptions

OPEN_ENDED = {"epochs": None, "decay_epochs": None}
"""Values in `run.json` of the fields that may change when a run with a constant learning rate is resumed."""


def run_training(options: TrainOptions) -> None:
    """Load the data and the network, train, and print the paths of the weights."""
    device = select_device(options.device)
    source = open_training_data(options)
    spec, start = build_for_training(options, source)
    if spec.config.beta_mode == "learned" and options.steps == 1:
        raise ConfigError(f"--steps {options.steps}: a learned beta acts between slices and needs 2 or more")
    process = init_distributed(device)
    recipe, folder = _make_recipe(options), RunFolder(options.out)
    half = half_precision_dtype(device, options.amp)
    if process.is_first:
        folder.create_or_resume(_run_description(options, recipe, spec, half, process), options.resume)
    validate = None if options.validate_on == 0 else source.make_validator()
    batches = run_on_first_rank_first(process, lambda: source.make_batches(spec, process.world_size))
    torch.manual_seed(options.seed)
    network = build_network(spec.config) if start is None else start
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = recipe.for_steps(options.epochs * batches.batches_per_epoch)
    trainer = Trainer(network, spec.slices, recipe, half, process.world_size > 1)
    loaders = options.loaders if options.loaders is not None else 4 * (device.type == "cuda")
    run = TrainingRun(trainer, batches, spec, recipe, folder, validate, process, loaders)
    with _ProgressBar(recipe.epochs, process.is_first) as progress:
        count = sum(p.numel() for p in network.parameters())
        progress.print(f"{spec.name}: {count:,} parameters; {options.dataset.name}; {device}")
        run.fit(progress, folder.load_state())
    shutdown_distributed(process)
    if process.is_first:
        paths = [options.out / f"{name}.safetensors" for name in ("best", "last")]
        print(f"wrote {' and '.join(str(path) for path in paths if path.exists())} ({spec.training})")


def _make_recipe(options: TrainOptions) -> TrainingRecipe:
    open_ended = options.decay_epochs is not None
    recipe = TrainingRecipe(
        epochs=options.epochs,
        warmup_epochs=options.warmup if open_ended else min(options.warmup, options.epochs / 4),
        decay_epochs=options.decay_epochs,
        seed=options.seed,
    )
    if options.optimizer == "adamw":
        recipe = recipe.with_adamw()
    rate = options.learning_rate
    return recipe if rate is None else replace(recipe, learning_rate=rate)


def _run_description(
    options: TrainOptions,
    recipe: TrainingRecipe,
    spec: ModelSpec,
    half: torch.dtype | None,
    process: ProcessRank,
) -> Mapping[str, Any]:
    """Return the content of `run.json`, which must be the same when the run is resumed."""
    return {
        "data": {
            "dataset": str(options.dataset.resolve()),
            "also": [str(folder.resolve()) for folder in options.also or []],
            "clutter": [str(folder.resolve()) for folder in options.clutter or []],
            "clutter_share": options.clutter_share,
            "limit": options.limit,
            "validate_on": options.validate_on,
            "validate": options.validate or [],
            "protocol": options.protocol,
            "batches": options.batches,
            "lanes": options.batch,
            "steps": options.steps,
            "stream_share": options.stream_share,
            "augment": options.augmentation if options.augment else None,
        },
        "model": spec.to_json(),
        "recipe": asdict(recipe) if recipe.decay_epochs is None else asdict(recipe) | OPEN_ENDED,
        "precision": str(half or torch.float32),
        "processes": process.world_size,
    }


class _ProgressBar:
    """Progress of the epoch on standard error, and a line for each finished epoch."""

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
        """Print a line above the bar."""
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
        scores += "".join(f"  {name} {value:.3f}" for name, value in report.sets if value is not None)
        self.print(
            f"epoch {report.epoch:3d}  loss {report.loss:.3f} (box {report.box:.3f}, cls {report.cls:.3f}, "
            f"dfl {report.dfl:.3f}){scores}  {report.seconds:.0f} s"
        )
