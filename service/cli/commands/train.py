"""`spikewatch train`: from labelled recordings or pictures to weights."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from spikewatch.service.cli.options import Slices, SliceUs, WindowPreset, check_slice_options
from spikewatch.service.errors import BadRequest

REQUIRED_PACKAGES = ("faster_coco_eval", "matplotlib", "tensorboard")


def train(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder with train/ and val/ as in Gen1 (*_td.dat with *_bbox.npy), or of COCO "
            "(annotations/instances_*.json), of pictures or of recordings.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.", show_default=False)],
    weights: Annotated[
        str | None, typer.Option(help="Start from these; untrained ones only name the network.")
    ] = None,
    row: Annotated[
        str | None,
        typer.Option(help="Network and T x D of a row of the paper, such as table4/gen1; see `init`."),
    ] = None,
    scale: Annotated[str | None, typer.Option(help="t, n, s, m, l; default: t.")] = None,
    slices: Slices = None,
    spikes: Annotated[int | None, typer.Option(help="D, the largest integer a neuron fires.")] = None,
    slice_us: SliceUs = None,
    window: WindowPreset = None,
    size: Annotated[
        str | None, typer.Option(metavar="HEIGHTxWIDTH", help="Pixels the network sees, multiples of 32.")
    ] = None,
    beta: Annotated[float | None, typer.Option(help="Decay of the membrane from slice to slice.")] = None,
    beta_mode: Annotated[str | None, typer.Option(help="fixed or learned, by layer.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="The paper trains Gen1 for 50.")] = 50,
    batches: Annotated[int | None, typer.Option(min=1, help="End an epoch after so many.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="B, lanes side by side, in each process.")] = 16,
    steps: Annotated[
        int,
        typer.Option(min=1, help="K, slices between two steps of the optimiser: how far gradients reach."),
    ] = 4,
    stream_share: Annotated[
        float, typer.Option(min=0, max=1, help="Lanes that carry their membranes; the rest are random clips.")
    ] = 0.5,
    optimizer: Annotated[
        Literal["sgd", "adamw"], typer.Option(help="sgd: the paper's, learning rate 0.01.")
    ] = "sgd",
    learning_rate: Annotated[
        float | None, typer.Option(help="At its peak; default: 0.01 for sgd, 0.001 for adamw.")
    ] = None,
    warmup: Annotated[float, typer.Option(min=0, help="Epochs in which the learning rate rises.")] = 3,
    augment: Annotated[bool, typer.Option(help="Flip, scale, mosaic, drop events, and so on.")] = True,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: cuda where there is one.")] = None,
    amp: Annotated[
        bool | None,
        typer.Option(help="Half precision inside the network; default: on a GPU.", show_default=False),
    ] = None,
    loaders: Annotated[
        int | None, typer.Option(min=0, help="Processes that make batches; default: 4 on a GPU, else none.")
    ] = None,
    validate_on: Annotated[
        int | None, typer.Option(min=0, help="Score on the first recordings of val only; 0: never.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Train on the first recordings only.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of cut recordings; default: cache/ in the run's folder.")
    ] = None,
    cache_gb: Annotated[float, typer.Option(min=0.01, help="Bound of that folder.")] = 64.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last whole epoch.")] = False,
) -> None:
    """Train a detector: task-aligned assignment, CIoU and DFL, back through K slices of time.

    With the defaults, the paper's optimiser, rate and epochs. Windows end exactly at labels. After each epoch
    the averaged weights are scored on val. OUT holds best.safetensors, last.safetensors, progress.csv,
    curves.png, pictures/ and TensorBoard's files. Several GPUs: torchrun --nproc-per-node N --no-python
    spikewatch train ...
    """
    check_slice_options(slice_us, window)
    if weights is not None and row is not None:
        raise typer.BadParameter("give --weights or --row, not both")
    for package in REQUIRED_PACKAGES:
        if find_spec(package) is None:
            raise BadRequest(f"training needs {package}: pip install 'spikewatch[train]'")
    from spikewatch.service.cli.actions.train import TrainOptions, run_training
    from spikewatch.service.cli.actions.train_data import DataOptions
    from spikewatch.service.cli.actions.train_network import NetworkOptions

    chosen = NetworkOptions(
        weights=weights,
        row=row,
        scale=scale,
        slices=slices,
        spikes=spikes,
        slice_us=slice_us,
        window=window,
        size=size,
        beta=beta,
        beta_mode=beta_mode,
    )
    data = DataOptions(
        dataset=dataset,
        cache=cache or out / "cache",
        cache_gb=cache_gb,
        limit=limit,
        validate_on=validate_on,
        batches=batches,
        lanes=batch,
        steps=steps,
        stream_share=stream_share,
        augment=augment,
    )
    wish = TrainOptions(
        epochs=epochs,
        optimizer=optimizer,
        learning_rate=learning_rate,
        warmup=warmup,
        seed=seed,
        device=device,
        amp=amp,
        loaders=loaders,
    )
    run_training(out, chosen, data, wish, resume)
