"""The energy report as rows, CSV, JSON and a plot."""

import csv
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikewatch.model.atomic_file import whole_file
from spikewatch.model.energy.report import EnergyReport, LayerReport
from spikewatch.model.spec import ModelSpec
from spikewatch.service.errors import BadRequest
from spikewatch.service.output.annotated_video import banner

Row = dict[str, Any]


def ratio(ann_mj: float, snn_mj: float) -> float | None:
    """How many times less the spiking network spends; None where it spends nothing."""
    return ann_mj / snn_mj if snn_mj else None


def row(layer: LayerReport, report: EnergyReport) -> Row:
    """One layer as plain values; operations and millijoules are for one window of T slices."""
    kernel, costs = layer.layer.kernel, report.costs
    snn_mj, ann_mj = layer.formula.spiking_mj(costs), layer.formula.as_ann_mj(costs)
    return {
        "layer": layer.layer.name,
        "in_channels": kernel.in_channels,
        "out_channels": kernel.out_channels,
        "kernel": kernel.size,
        "stride": kernel.stride,
        "groups": kernel.groups,
        "in_height": layer.layer.in_height,
        "in_width": layer.layer.in_width,
        "out_height": layer.layer.out_height,
        "out_width": layer.layer.out_width,
        "firing_rate": layer.firing_rate,
        "ac": layer.exact.ac,
        "ac_formula": layer.formula.ac,
        "mac": layer.formula.mac,
        "ann_mac": layer.formula.ann_mac,
        "snn_mj": snn_mj,
        "snn_exact_mj": layer.exact.spiking_mj(costs),
        "ann_mj": ann_mj,
        "ratio": ratio(ann_mj, snn_mj),
        "degradation": layer.degradation,
    }


def totals(report: EnergyReport) -> Row:
    """Sums over the layers, for one window of T slices."""
    formula, exact, costs = report.formula, report.exact, report.costs
    snn_mj, ann_mj = formula.spiking_mj(costs), formula.as_ann_mj(costs)
    return {
        "slices": report.slices,
        "d_max": report.d_max,
        "windows": report.windows,
        "mac_pj": costs.mac_pj,
        "ac_pj": costs.ac_pj,
        "ac": exact.ac,
        "ac_formula": formula.ac,
        "mac": formula.mac,
        "ann_mac": formula.ann_mac,
        "snn_mj": snn_mj,
        "snn_exact_mj": exact.spiking_mj(costs),
        "ann_mj": ann_mj,
        "ratio": ratio(ann_mj, snn_mj),
        "ann_once_mj": ann_mj / report.slices,
        "ratio_once": ratio(ann_mj / report.slices, snn_mj),
        "degraded_layers": report.degraded,
    }


def as_json(report: EnergyReport, spec: ModelSpec) -> Row:
    """Model, totals and layers as one object."""
    rows = [row(layer, report) for layer in report.layers]
    return {"model": spec.name, "training": spec.training, "totals": totals(report), "layers": rows}


def _write_csv(path: Path, report: EnergyReport, spec: ModelSpec) -> None:
    rows = [row(layer, report) | {"training": spec.training} for layer in report.layers]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def _write_json(path: Path, report: EnergyReport, spec: ModelSpec) -> None:
    path.write_text(json.dumps(as_json(report, spec), indent=1) + "\n")


def _write_png(path: Path, report: EnergyReport, spec: ModelSpec) -> None:
    from spikewatch.service.reports.energy_plot import plot

    plot(report, f"{spec.name}: {banner(spec.training)}").savefig(path, format="png", dpi=110)


WRITERS: dict[str, Callable[[Path, EnergyReport, ModelSpec], None]] = {
    ".csv": _write_csv,
    ".json": _write_json,
    ".png": _write_png,
}
"""By the ending of the file."""


def check_can_write(paths: list[Path]) -> None:
    """Find out before a long run that a plot cannot be drawn.

    Raises:
        BadRequest: matplotlib is not installed.
    """
    if any(path.suffix == ".png" for path in paths):
        try:
            importlib.import_module("spikewatch.service.reports.energy_plot")
        except ImportError as error:
            raise BadRequest(f"a plot needs matplotlib ({error}): pip install 'spikewatch[plot]'") from error


def write_report(path: Path, report: EnergyReport, spec: ModelSpec) -> None:
    """Write the report in the form that the ending asks for; the file appears when it is whole."""
    with whole_file(path) as partial:
        WRITERS[path.suffix](partial, report, spec)
