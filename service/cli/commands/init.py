"""`spikewatch init`: untrained weights of any network that the paper compares."""

from pathlib import Path
from typing import Annotated

import typer

from spikewatch.model.network.config import CHOICES, SCALES
from spikewatch.service.cli.options import Slices, WindowPreset, check_outputs


def _choices_text(name: str) -> str:
    return ", ".join(CHOICES[name])


def init(
    out: Annotated[Path, typer.Argument(metavar="OUT.safetensors", show_default=False)],
    row: Annotated[
        str | None,
        typer.Option(
            help="Start from a row of the paper's tables, such as table5/transformer; `list` shows all."
        ),
    ] = None,
    architecture: Annotated[str | None, typer.Option(help=f"{_choices_text('architecture')}.")] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="; ".join(f"{name}: {', '.join(scales)}" for name, scales in SCALES.items()) + "."),
    ] = None,
    class_names: Annotated[
        str | None, typer.Option(help="Comma-separated, or `coco`; default: car,pedestrian.")
    ] = None,
    representation: Annotated[
        str | None, typer.Option(help="polarity_counts, latest_polarity, or image for still pictures.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HEIGHTxWIDTH", help="Pixels the network sees, multiples of 32.")
    ] = None,
    slices: Slices = None,
    window: WindowPreset = None,
    spikes: Annotated[int | None, typer.Option(help="D, the largest integer a neuron fires.")] = None,
    beta: Annotated[float | None, typer.Option(help="Decay of the membrane from slice to slice.")] = None,
    beta_mode: Annotated[str | None, typer.Option(help=f"{_choices_text('beta_mode')} (by layer).")] = None,
    input_gain: Annotated[
        float | None, typer.Option(help="Share of its input that a neuron integrates.")
    ] = None,
    neuron: Annotated[
        str | None, typer.Option(help=f"{_choices_text('neuron')}; the last two make the ANN twin.")
    ] = None,
    low_block: Annotated[str | None, typer.Option(help=f"{_choices_text('low_block')}.")] = None,
    high_block: Annotated[str | None, typer.Option(help=f"{_choices_text('high_block')}.")] = None,
    reparameterised: Annotated[
        bool | None,
        typer.Option("--reparameterised/--not-reparameterised", help="Neurons inside blocks, if not."),
    ] = None,
    head: Annotated[str | None, typer.Option(help=f"{_choices_text('head')}.")] = None,
) -> None:
    """Write untrained weights of a network, to count, run, export or train it.

    Weights are dyadic: multiples of powers of two, on which every way of computing gives the same spikes.
    """
    if row != "list":
        check_outputs([out], (".safetensors",))
    from spikewatch.service.cli.actions.init import InitOptions, run_init

    config = {
        "architecture": architecture,
        "scale": scale,
        "d_max": spikes,
        "beta": beta,
        "beta_mode": beta_mode,
        "input_gain": input_gain,
        "neuron": neuron,
        "low_block": low_block,
        "high_block": high_block,
        "reparameterised": reparameterised,
        "head": head,
    }
    run_init(out, InitOptions(row, config, class_names, representation, size, slices, window))
