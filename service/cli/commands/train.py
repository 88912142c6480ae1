"""`spikewatch train`: train a detector on labelled recordings or images."""

from importlib.util import find_spec

import typer

from spikewatch.service.cli.options.checks import check_slice_options
from spikewatch.service.cli.options.command import takes_options
from spikewatch.service.cli.options.train import TrainOptions
from spikewatch.service.errors import BadRequest

REQUIRED_PACKAGES = ("faster_coco_eval", "matplotlib", "tensorboard")


@takes_options(TrainOptions)
def train(options: TrainOptions) -> None:
    """Train a detector with task-aligned assignment, CIoU and DFL; gradients reach back K slices in time.

    The defaults are the paper's optimiser, learning rate and epochs. Windows end exactly at labels. After
    each epoch, the averaged weights are scored on val. OUT holds best.safetensors, last.safetensors,
    progress.csv, curves.png, pictures/ and TensorBoard's files. For several GPUs: torchrun --nproc-per-node N
    --no-python spikewatch train ...
    """
    check_slice_options(options.slice_us, options.window)
    if options.weights is not None and options.row is not None:
        raise typer.BadParameter(
            f"--weights {options.weights} and --row {options.row}: give one of them, not both"
        )
    for package in REQUIRED_PACKAGES:
        if find_spec(package) is None:
            raise BadRequest(f"training needs {package}: pip install 'spikewatch[train]'")
    from spikewatch.service.cli.actions.train import run_training

    run_training(options)
