"""What a benchmark found, with the machine it ran on, as Markdown and JSON."""

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from model.whole_file import whole_file

ENDINGS = (".md", ".json")
PACKAGES = ("spikewatch", "torch", "numpy", "numba")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, and what nine of ten lie within."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """Of one value or more."""
        if len(values) == 1:
            return Spread(values[0], values[0], values[0])
        cuts = statistics.quantiles(values, n=20, method="inclusive")
        return Spread(statistics.median(values), cuts[0], cuts[-1])

    def text(self, digits: int = 1) -> str:
        """As a cell of a table."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


@dataclass(frozen=True, slots=True)
class Report:
    """One table.

    Attributes:
        title: a line above it.
        columns: headings; the first column is text.
        cells: rows of text, as long as `columns`.
        figures: the same as plain values, and more, for programs.
    """

    title: str
    columns: tuple[str, ...]
    cells: Sequence[tuple[str, ...]]
    figures: dict[str, Any]

    def markdown(self) -> str:
        """Title, machine and table."""
        lines = [self.title, "", machine_line(), "", f"| {' | '.join(self.columns)} |"]
        lines.append("|" + "---|" + "---:|" * (len(self.columns) - 1))
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.cells), ""])

    def write(self, path: Path) -> None:
        """By the ending of the name, one of ENDINGS."""
        with whole_file(path) as partial:
            if path.suffix == ".md":
                partial.write_text(self.markdown())
            else:
                partial.write_text(json.dumps({"machine": machine()} | self.figures, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """What ran, on what."""
    able = torch.cpu.get_capabilities()
    return {
        "processor": able.get("cpu_name") or platform.processor() or platform.machine(),
        "cores": able.get("num_physical_cores"),
        "threads": torch.get_num_threads(),
        "byte_products": any(able.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8")),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    """Of a package, or of sources that were not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def machine_line() -> str:
    """The same in a line."""
    facts = machine()
    versions = ", ".join(f"{name} {found}" for name, found in facts["versions"].items())
    vnni = "with" if facts["byte_products"] else "without"
    return (
        f"{facts['processor']}, {facts['cores']} cores, {vnni} VNNI, {facts['threads']} threads; "
        f"Python {facts['python']}, {versions}"
    )
