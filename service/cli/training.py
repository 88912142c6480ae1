"""The work of `spikewatch train`."""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model.build import build_network
from model.checkpoint import load_detector
from model.errors import ConfigError
from model.network import Network as Net
from model.spec import ModelSpec
from model.training.journal import EpochReport
from model.training.optimise import Learner, StepReport
from model.training.recipe import Recipe
from model.training.run import Place, TrainingRun
from model.training.run_folder import RunFolder
from service.cli.initialising import Wish as NetworkWish
from service.cli.initialising import specification
from service.cli.training_data import Data, Pictures, Recordings, source_of


@dataclass(frozen=True, slots=True)
class Network:
    """Which network; None: as in the weights, the row, or by default."""

    weights: str | None
    row: str | None
    scale: str | None
    slices: int | None
    spikes: int | None
    slice_us: int | None
    window: str | None
    size: str | None
    beta: float | None
    beta_mode: str | None


@dataclass(frozen=True, slots=True)
class Wish:
    """How, and on what."""

    epochs: int
    optimizer: str
    learning_rate: float | None
    warmup: float
    seed: int
    device: str | None
    amp: bool
    loaders: int | None


def run_training(out: Path, network: Network, data: Data, wish: Wish, resume: bool) -> None:
    """Prepare, train, and say where the weights are."""
    place = _join()
    device = _device(wish.device, place)
    source = source_of(data)
    spec, start = _specification(network, data.dataset, source)
    console = Console(quiet=not place.first)
    validate = None if data.validate_on == 0 else source.validation()
    batches = source.batches(spec, wish.seed, place.world)
    recipe = _recipe(wish).for_steps(wish.epochs * batches.batches_per_epoch)
    torch.manual_seed(wish.seed)
    net = build_network(spec.config) if start is None else start
    half = _half(device) if wish.amp else None
    net = net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner = Learner(net, spec.slices, recipe, half, place.world > 1)
    folder = RunFolder(out)
    state = folder.begin(_description(network, data, recipe, spec), resume) if place.first else folder.load()
    loaders = wish.loaders if wish.loaders is not None else 4 * (device.type == "cuda")
    run = TrainingRun(learner, batches, spec, recipe, folder, validate, place, loaders)
    console.print(f"{spec.name}: {_size(net)}; {data.dataset.name}; {device}")
    with _Bar(console, recipe.epochs) as watch:
        run.go(watch, state)
    console.print(f"wrote {out}/best.safetensors and last.safetensors ({spec.training})")


def _join() -> Place:
    """The place of this process among those that torchrun started; alone without it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Place()
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Place(torch.distributed.get_rank(), world)


def _device(wanted: str | None, place: Place) -> torch.device:
    name = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError("no CUDA device is to be seen by PyTorch; use --device cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r}: {str(error).splitlines()[0]}") from error


def _half(device: torch.device) -> torch.dtype | None:
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _specification(
    network: Network, dataset: Path, source: Recordings | Pictures
) -> tuple[ModelSpec, Net | None]:
    """What is trained, and the network to start from where it has been trained before."""
    weights = network.weights
    config = {
        "scale": network.scale,
        "d_max": network.spikes,
        "beta": network.beta,
        "beta_mode": network.beta_mode,
    }
    before = None if weights is None else load_detector(weights)
    wish = NetworkWish(
        network.row, config, None, source.representation, network.size, network.slices, network.window,
        network.slice_us,
    )  # fmt: skip
    spec = specification(wish, "spikewatch", None if before is None else before.spec, source.class_names)
    simulated = (dataset / "simulation.json").is_file()
    training = "trained on simulated recordings" if simulated else f"trained on {dataset.resolve().name}"
    name = f"spikewatch-{spec.config.scale}-{'sim' if simulated else dataset.resolve().name}"
    spec = replace(spec, name=name, training=training)
    if spec.config.head != "anchor_free":
        raise ConfigError("training teaches the anchor-free head only")
    if before is None or before.spec.training == "untrained":
        return spec, None
    net = build_network(spec.config)
    try:
        net.load_state_dict(before.network.state_dict())
    except RuntimeError as error:
        raise ConfigError(f"{weights} does not fit the network that was asked for: {error}") from error
    return spec, net


def _recipe(wish: Wish) -> Recipe:
    recipe = Recipe(epochs=wish.epochs, warmup_epochs=wish.warmup, seed=wish.seed)
    if wish.optimizer == "adamw":
        recipe = recipe.with_adamw()
    rate = wish.learning_rate
    return recipe if rate is None else replace(recipe, learning_rate=rate)


def _description(network: Network, data: Data, recipe: Recipe, spec: ModelSpec) -> dict[str, Any]:
    """What a run is; `run.json`, and compared when it is resumed."""
    chosen = {name: value for name, value in asdict(data).items() if name not in ("cache", "cache_gb")}
    return {
        "data": chosen | {"dataset": str(data.dataset.resolve())},
        "start": network.weights,
        "model": spec.to_json(),
        "recipe": asdict(recipe),
        "torch": torch.__version__,
    }


def _size(net: Net) -> str:
    return f"{sum(p.numel() for p in net.parameters()):,} parameters"


class _Bar:
    """Progress of the epoch, and a line for each epoch that is done."""

    def __init__(self, console: Console, epochs: int) -> None:
        self._console = console
        self._epochs = epochs
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True, quiet=console.quiet), transient=True)
        self._task = self._progress.add_task("training", total=None)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, epoch: int, done: int, of: int, report: StepReport | None) -> None:
        loss = "" if report is None else f", loss {report.total:.2f}"
        self._progress.update(
            self._task, description=f"epoch {epoch}/{self._epochs}{loss}", completed=done, total=of
        )

    def epoch(self, report: EpochReport) -> None:
        scores = "" if report.ap is None else f"  AP {report.ap:.3f}  AP50 {report.ap50:.3f}"
        self._console.print(
            f"epoch {report.epoch:3d}  loss {report.loss:.3f} (box {report.box:.3f}, cls {report.cls:.3f}, "
            f"dfl {report.dfl:.3f}){scores}  {report.seconds:.0f} s"
        )
