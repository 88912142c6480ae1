"""Options of `spikewatch init`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from spikewatch.model.network.config import CHOICES, SCALES
from spikewatch.service.cli.options.checks import choose_output
from spikewatch.service.cli.options.shared import (
    Beta,
    CountRule,
    InputSize,
    OldOut,
    OutFile,
    Slices,
    Spikes,
    WindowPreset,
)

CONFIG_FIELDS = (
    *("architecture", "scale", "beta", "beta_mode", "input_gain", "neuron"),
    *("low_block", "high_block", "reparameterised", "head"),
)
"""Options that are fields of the network's configuration."""


def _choices_text(name: str) -> str:
    return ", ".join(CHOICES[name])


@dataclass(frozen=True, slots=True)
class InitOptions:
    """Values of the command line; None if the row of the paper or the default decides."""

    old_out: OldOut = None
    out: OutFile = None
    row: Annotated[
        str | None,
        typer.Option(
            help="Start from a row of the paper's tables, such as table5/transformer; `list` shows all rows."
        ),
    ] = None
    architecture: Annotated[str | None, typer.Option(help=f"{_choices_text('architecture')}.")] = None
    scale: Annotated[
        str | None,
        typer.Option(help="; ".join(f"{name}: {', '.join(scales)}" for name, scales in SCALES.items()) + "."),
    ] = None
    class_names: Annotated[
        str | None, typer.Option(help="Comma-separated, or `coco`; default: car,pedestrian.")
    ] = None
    representation: Annotated[
        str | None, typer.Option(help="polarity_counts, latest_polarity, or image for still images.")
    ] = None
    size: InputSize = None
    count_rule: CountRule = None
    slices: Slices = None
    window: WindowPreset = None
    spikes: Spikes = None
    beta: Beta = None
    beta_mode: Annotated[str | None, typer.Option(help=f"{_choices_text('beta_mode')} (by layer).")] = None
    input_gain: Annotated[
        float | None, typer.Option(help="Share of its input that a neuron integrates, 0 to 1.")
    ] = None
    neuron: Annotated[
        str | None, typer.Option(help=f"{_choices_text('neuron')}; the last two make the ANN twin.")
    ] = None
    low_block: Annotated[str | None, typer.Option(help=f"{_choices_text('low_block')}.")] = None
    high_block: Annotated[str | None, typer.Option(help=f"{_choices_text('high_block')}.")] = None
    reparameterised: Annotated[
        bool | None,
        typer.Option(
            "--reparameterised/--not-reparameterised",
            help="Re-parameterised convolutions, or neurons inside the blocks.",
        ),
    ] = None
    head: Annotated[str | None, typer.Option(help=f"{_choices_text('head')}.")] = None

    @property
    def path(self) -> Path:
        """The file to write."""
        return choose_output(self.old_out, self.out)

    @property
    def config(self) -> dict[str, Any]:
        """Values of the network's configuration that were given, by field."""
        fields = {"d_max": self.spikes} | {name: getattr(self, name) for name in CONFIG_FIELDS}
        return {name: value for name, value in fields.items() if value is not None}
