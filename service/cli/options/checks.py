"""Checks of options before any work is done; wrong usage ends a command with exit status 2."""

import errno
import os
from pathlib import Path

import typer

from spikewatch.model.checkpoints.bundled import UNTRAINED, weights_path
from spikewatch.model.errors import ConfigError


def check_slice_options(slice_us: int | None, window: str | None) -> None:
    """Reject two slice lengths at once."""
    if slice_us is not None and window is not None:
        raise typer.BadParameter(f"--slice-us {slice_us} and --window {window}: give one of them, not both")


def check_sensor_size(width: int | None, height: int | None) -> None:
    """Reject one side of a sensor without the other."""
    if (width is None) != (height is None):
        present = f"--width {width}" if height is None else f"--height {height}"
        raise typer.BadParameter(f"--width and --height come together; got only {present}")


def check_exists(path: Path) -> None:
    """Check that a file exists, before its suffix is used to choose a decoder.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    if str(path) != "-" and not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def check_no_recording_options(image: Path, *values: object) -> None:
    """Reject options for recordings if the source is an image."""
    if any(value is not None for value in values):
        raise typer.BadParameter(
            f"{image.name} is an image: sensor size, slice length, hop and tracks are for recordings"
        )


def check_device(name: str | None) -> None:
    """Reject a device that does not exist, before weights are loaded."""
    if name is None:
        return
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise typer.BadParameter(f"--device {name}: expected cpu, cuda or cuda:N") from error
    count = torch.cuda.device_count() if device.type == "cuda" else int(device.type == "cpu")
    if (device.index or 0) >= count:
        raise typer.BadParameter(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices here")


def check_weights(weights: str | None) -> None:
    """Check that weights exist, before torch is imported.

    Raises:
        CheckpointError: they are neither a file nor a known name.
    """
    if weights not in (None, UNTRAINED):
        weights_path(str(weights))


def choose_output(positional: Path | None, option: Path | None) -> Path:
    """Return the output of a command that takes it as --out, or as an argument as in earlier releases."""
    path = positional or option
    if path is None:
        raise typer.BadParameter("Missing option '--out' / '-o'.")  # no value
    if positional is not None and option is not None:
        raise typer.BadParameter(f"{positional} and --out {option}: give one of them, not both")
    return path


def check_one_stdout(to_stdout: bool, as_json: bool) -> None:
    """Reject two uses of standard output."""
    if to_stdout and as_json:
        raise typer.BadParameter(
            "--out - and --json both write to standard output: give one of them"
        )  # no value


def check_outputs(
    paths: list[Path], suffixes: tuple[str, ...], source: Path | None = None, *, stdout: bool = False
) -> None:
    """Reject output files that cannot be written, have a wrong suffix, or would replace the source."""
    for path in paths:
        if stdout and str(path) == "-" and paths.count(path) == 1:
            continue
        if path.suffix not in suffixes:
            one_of = "one of " if len(suffixes) > 1 else ""
            raise typer.BadParameter(f"{path.name}: the ending must be {one_of}{', '.join(suffixes)}")
        is_source = source is not None and path.resolve() == source.resolve()
        if path.is_dir() or is_source or paths.count(path) > 1:
            raise typer.BadParameter(f"{path}: a folder, the input itself, or named twice")
        if not path.parent.is_dir():
            raise typer.BadParameter(f"{path.name}: there is no folder {path.parent}")


def parse_input_size(text: str) -> tuple[int, int]:
    """Return (height, width) of a network's input from HEIGHTxWIDTH.

    Raises:
        ConfigError: the text has another form.
    """
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ConfigError(f"size {text!r}: expected HEIGHTxWIDTH, such as 256x320")
    return int(height), int(width)
