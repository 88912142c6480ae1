"""Figures with matplotlib, an optional dependency."""

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from spikewatch.service.errors import BadRequest

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_plots(paths: Iterable[Path]) -> None:
    """Check before a long run that the pictures among its files can be drawn; raise as `new_figure`."""
    if any(path.suffix == ".png" for path in paths):
        _require_matplotlib()


def _require_matplotlib() -> None:
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise BadRequest(f"a plot needs matplotlib ({error}): pip install 'spikewatch[plot]'") from error


def new_figure(width_in: float, height_in: float) -> "Figure":
    """Return an empty figure of this size in inches, to be saved with `savefig`.

    Raises:
        BadRequest: matplotlib is not installed.
    """
    _require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
