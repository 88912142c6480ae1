"""Options of `spikewatch train`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from spikewatch.service.cli.options.shared import (
    Beta,
    CountRule,
    InputSize,
    Slices,
    SliceUs,
    Spikes,
    WindowPreset,
)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Values of the command line; None if the weights, the row of the paper or the default decide."""

    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder with train/ and val/ as in Gen1 (*_td.dat with *_bbox.npy), or with COCO "
            "annotations (annotations/instances_*.json) of images or recordings.",
            show_default=False,
        ),
    ]
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.", show_default=False)]
    also: Annotated[
        list[Path] | None,
        typer.Option(
            help="Train on the train/ split of this data set of recordings too; repeatable, also with the "
            "same data set.",
            show_default=False,
        ),
    ] = None
    clutter: Annotated[
        list[Path] | None,
        typer.Option(
            help="Add events of these recordings without objects (train/ split) to some streams; repeatable.",
            show_default=False,
        ),
    ] = None
    clutter_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the streams that get clutter.")
    ] = 0.25
    weights: Annotated[
        str | None, typer.Option(help="Weights to start from; of untrained ones, only the network is used.")
    ] = None
    row: Annotated[
        str | None,
        typer.Option(help="Network and T x D of a row of the paper, such as table4/gen1; see `init`."),
    ] = None
    scale: Annotated[str | None, typer.Option(help="t, n, s, m, l; default: t.")] = None
    slices: Slices = None
    spikes: Spikes = None
    slice_us: SliceUs = None
    window: WindowPreset = None
    size: InputSize = None
    count_rule: CountRule = None
    beta: Beta = None
    beta_mode: Annotated[str | None, typer.Option(help="fixed or learned, by layer.")] = None
    epochs: Annotated[int, typer.Option(min=1, help="Epochs; the paper trains Gen1 for 50.")] = 50
    batches: Annotated[
        int | None, typer.Option(min=1, help="Batches in an epoch; default: the whole split.")
    ] = None
    batch: Annotated[int, typer.Option(min=1, help="B: batch size of each process.")] = 16
    steps: Annotated[
        int, typer.Option(min=1, help="K: slices per optimiser step; gradients reach back this far.")
    ] = 4
    stream_share: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of the batch that carries membranes on; the rest are random clips."
        ),
    ] = 0.5
    optimizer: Annotated[
        Literal["sgd", "adamw"], typer.Option(help="sgd: the paper's, learning rate 0.01.")
    ] = "sgd"
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate; default: 0.01 for sgd, 0.001 for adamw.")
    ] = None
    decay_epochs: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Last epochs, in which the learning rate falls; it is constant before, and --resume takes "
            "other --epochs. Default: it falls over the whole run.",
        ),
    ] = None
    warmup: Annotated[float, typer.Option(min=0, help="Epochs in which the learning rate rises.")] = 3
    augment: Annotated[bool, typer.Option(help="Augment: flip, scale, mosaic, drop events, and so on.")] = (
        True
    )
    augmentation: Annotated[
        Literal["standard", "strong", "mild"],
        typer.Option(
            help="Recordings: strong adds noise, hot pixels and contrast; mild is for its last epochs."
        ),
    ] = "standard"
    seed: Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")] = 0
    device: Annotated[str | None, typer.Option(help="cpu or cuda; default: cuda if present.")] = None
    amp: Annotated[
        bool | None,
        typer.Option(help="Half precision inside the network; default: on a GPU.", show_default=False),
    ] = None
    loaders: Annotated[
        int | None, typer.Option(min=0, help="Processes that make batches; default: 4 on a GPU, else none.")
    ] = None
    validate_on: Annotated[
        int | None, typer.Option(min=0, help="Score on the first N recordings of val only; 0: never.")
    ] = None
    validate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DATASET",
            help="Score on this data set too after each epoch (its val/, every box); repeatable.",
            show_default=False,
        ),
    ] = None
    protocol: Annotated[
        Literal["gen1", "1mpx", "none"] | None,
        typer.Option(help="Filter of the boxes of val; default: by the sensor, for COCO none."),
    ] = None
    limit: Annotated[int | None, typer.Option(min=1, help="Train on the first N recordings only.")] = None
    cache: Annotated[
        Path | None, typer.Option(help="Folder of cut recordings; default: cache/ in the run's folder.")
    ] = None
    cache_gb: Annotated[float, typer.Option(min=0.01, help="Size limit of that folder in GiB.")] = 64.0
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the last complete epoch.")] = False

    @property
    def cache_dir(self) -> Path:
        """Folder of cut recordings."""
        return self.cache or self.out / "cache"
