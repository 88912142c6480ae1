"""Results of a benchmark and the machine it ran on, as Markdown, JSON and a chart."""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from spikewatch.atomic_file import atomic_write
from spikewatch.service.bench.measure import Quantiles
from spikewatch.service.errors import BadRequest
from spikewatch.service.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".md", ".json", ".png")
PACKAGES = ("spikewatch", "torch", "numpy", "numba")
INCHES_PER_ROW = 0.24
BAR_COLOUR, OVER_LIMIT_COLOUR = "#3a6ea8", "#d55e00"


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars.

    Attributes:
        unit: of the numbers.
        rows: name and measurements, the first on top.
        limit: position of a line and its label; bars beyond it are orange.
    """

    unit: str
    rows: Sequence[tuple[str, Quantiles]]
    limit: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True)
class BenchReport:
    """One table.

    Attributes:
        title: a line above it.
        columns: headings; the first column is text.
        cells: rows of text, as long as `columns`.
        figures: the same as plain values, and more, for programs.
        chart: drawn from the figures.
    """

    title: str
    columns: tuple[str, ...]
    cells: Sequence[tuple[str, ...]]
    figures: dict[str, Any]
    chart: Chart | None = None

    def to_markdown(self) -> str:
        """Title, machine and table."""
        lines = [self.title, "", machine_summary(), "", f"| {' | '.join(self.columns)} |"]
        lines.append("|" + "---|" + "---:|" * (len(self.columns) - 1))
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.cells), ""])

    def write(self, path: Path) -> None:
        """By the ending of the name, one of ENDINGS.

        Raises:
            BadRequest: matplotlib is not installed, or there is nothing to draw.
        """
        with atomic_write(path) as partial:
            if path.suffix == ".png":
                self._draw(partial)
            elif path.suffix == ".md":
                partial.write_text(self.to_markdown())
            else:
                partial.write_text(json.dumps({"machine": machine_info()} | self.figures, indent=1) + "\n")

    def _draw(self, path: Path) -> None:
        if self.chart is None:
            raise BadRequest(f"{path.name}: this benchmark has nothing to draw")
        draw_chart(self.chart, f"{self.title}\n{machine_summary()}").savefig(path, format="png", dpi=110)


def machine_info() -> dict[str, Any]:
    """Return the versions, the processor and its threads."""
    able = torch.cpu.get_capabilities()
    return {
        "processor": able.get("cpu_name") or platform.processor() or platform.machine(),
        "cores": able.get("num_physical_cores"),
        "threads": torch.get_num_threads(),
        "byte_products": any(able.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8")),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _package_version(name) for name in PACKAGES},
    }


def _package_version(package: str) -> str:
    """Of a package, or of sources that were not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def machine_summary() -> str:
    """The same in a line."""
    facts = machine_info()
    versions = ", ".join(f"{name} {found}" for name, found in facts["versions"].items())
    vnni = "with" if facts["byte_products"] else "without"
    return (
        f"{facts['processor']}, {facts['cores']} cores, {vnni} VNNI, {facts['threads']} threads; "
        f"Python {facts['python']}, {versions}"
    )


def draw_chart(chart: Chart, title: str) -> "Figure":
    """Horizontal bars of the medians, with whiskers."""
    names = [name for name, _ in chart.rows]
    spreads = [spread for _, spread in chart.rows]
    medians = [spread.median for spread in spreads]
    whiskers = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
    figure = new_figure(9, 1.6 + INCHES_PER_ROW * len(names))
    axes = figure.subplots()
    places = range(len(names))
    top = None if chart.limit is None else chart.limit[0]
    colours = [
        OVER_LIMIT_COLOUR if top is not None and spread.high > top else BAR_COLOUR for spread in spreads
    ]
    axes.barh(places, medians, xerr=whiskers, color=colours, height=0.7, ecolor="#555555", capsize=2)
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    if max(medians) > 30 * min(medians):
        axes.set_xscale("log")
    if chart.limit is not None:
        axes.axvline(chart.limit[0], color="#555555", linestyle="--", linewidth=1, label=chart.limit[1])
        axes.legend(fontsize=8)
    axes.set_xlabel(chart.unit)
    axes.grid(axis="x", alpha=0.3)
    figure.suptitle(title, fontsize=9, wrap=True)
    return figure
