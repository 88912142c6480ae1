"""The energy report as rows, CSV, JSON and a plot."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikewatch.atomic_file import atomic_write
from spikewatch.model.energy.degradation import SATURATED_ABOVE, SILENT_BELOW
from spikewatch.model.energy.formulas import Energy, OperationCosts
from spikewatch.model.energy.hardware import HARDWARE, hardware_energy
from spikewatch.model.energy.report import EnergyReport, LayerReport
from spikewatch.model.spec import ModelSpec
from spikewatch.service.output.drawing import training_banner
from spikewatch.service.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EnergyRow = dict[str, Any]

HOUR_S = 3600

INCHES_PER_LAYER = 0.17
DEGRADATION_COLOURS = {None: "#3a6ea8", "silent": "#d55e00", "saturated": "#cc79a7"}
ANN_COLOUR = "#b8c0c8"


def energy_ratio(ann_mj: float, snn_mj: float) -> float | None:
    """How many times less the spiking network spends; None where it spends nothing."""
    return ann_mj / snn_mj if snn_mj else None


def layer_row(layer: LayerReport, report: EnergyReport) -> EnergyRow:
    """One layer as plain values; operations and millijoules are for one window of T slices."""
    kernel = layer.layer.kernel
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
        **_operation_columns(layer.formula, layer.exact, report.costs),
        "degradation": layer.degradation,
    }


def total_row(report: EnergyReport) -> EnergyRow:
    """Sums over the layers, for one window of T slices."""
    costs, operations = report.costs, _operation_columns(report.formula, report.exact, report.costs)
    ann_once_mj = operations["ann_mj"] / report.slices
    return {
        "slices": report.slices,
        "d_max": report.d_max,
        "windows": report.windows,
        "mac_pj": costs.mac_pj,
        "ac_pj": costs.ac_pj,
        **operations,
        "ann_once_mj": ann_once_mj,
        "ratio_once": energy_ratio(ann_once_mj, operations["snn_mj"]),
        **_power_columns(report, operations["snn_mj"]),
        "degraded_layers": report.degraded,
    }


def hardware_rows(report: EnergyReport, names: Iterable[str]) -> list[EnergyRow]:
    """One window on each named hardware: millijoules by origin, mean power, and the source of the costs."""
    rows = []
    for name in names:
        cost = hardware_energy(report, HARDWARE[name])
        rows.append(
            {
                "hardware": name,
                "synapses_mj": cost.synapses_mj,
                "neurons_mj": cost.neurons_mj,
                "memory_mj": cost.memory_mj,
                "total_mj": cost.total_mj,
                "ann_mj": cost.ann_mj,
                "ratio": None if cost.ann_mj is None else energy_ratio(cost.ann_mj, cost.total_mj),
                **_power_columns(report, cost.total_mj),
                "source": HARDWARE[name].source,
            }
        )
    return rows


def _power_columns(report: EnergyReport, window_mj: float) -> EnergyRow:
    power_mw = report.milliwatts(window_mj)
    joules_hour = None if power_mw is None else power_mw * HOUR_S / 1000
    return {
        "power_mw": power_mw,
        "joules_hour": joules_hour,
        "joules_day": None if joules_hour is None else joules_hour * 24,
    }


def _operation_columns(formula: Energy, exact: Energy, costs: OperationCosts) -> EnergyRow:
    snn_mj, ann_mj = formula.spiking_mj(costs), formula.as_ann_mj(costs)
    return {
        "ac": exact.ac,
        "ac_formula": formula.ac,
        "mac": formula.mac,
        "ann_mac": formula.ann_mac,
        "snn_mj": snn_mj,
        "snn_exact_mj": exact.spiking_mj(costs),
        "ann_mj": ann_mj,
        "ratio": energy_ratio(ann_mj, snn_mj),
    }


def energy_json(report: EnergyReport, spec: ModelSpec, hardware: Iterable[str] = ()) -> EnergyRow:
    """Model, totals, named hardware and layers as one object."""
    return {
        "model": spec.name,
        "training": spec.training,
        "totals": total_row(report),
        "hardware": hardware_rows(report, hardware),
        "layers": [layer_row(layer, report) for layer in report.layers],
    }


def write_energy_report(
    path: Path, report: EnergyReport, spec: ModelSpec, hardware: Iterable[str] = ()
) -> None:
    """Write the report in the format of the file name's ending; the file appears when it is whole."""
    with atomic_write(path) as partial:
        match path.suffix:
            case ".csv":
                _write_csv(partial, report, spec)
            case ".json":
                partial.write_text(json.dumps(energy_json(report, spec, hardware), indent=1) + "\n")
            case _:
                subtitle = f"{spec.name}: {training_banner(spec.training)}"
                plot_energy(report, subtitle).savefig(partial, format="png", dpi=110)


def _write_csv(path: Path, report: EnergyReport, spec: ModelSpec) -> None:
    rows = [layer_row(layer, report) | {"training": spec.training} for layer in report.layers]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def plot_energy(report: EnergyReport, subtitle: str) -> "Figure":
    """Two columns of horizontal bars, a layer a row, the first layer on top."""
    names = [row.layer.name for row in report.layers]
    places = range(len(names))
    figure = new_figure(13, 2.2 + INCHES_PER_LAYER * len(names))
    left, right = figure.subplots(1, 2, sharey=True)

    rates = [100 * (row.firing_rate or 0.0) for row in report.layers]
    left.barh(
        places, rates, color=[DEGRADATION_COLOURS[row.degradation] for row in report.layers], height=0.75
    )
    left.axvline(100 * SATURATED_ABOVE, color=DEGRADATION_COLOURS["saturated"], linewidth=1, linestyle="--")
    left.set_xlim(0, 100)
    left.set_xlabel("firing rate, % of neurons in each virtual step")
    left.set_title(
        f"silent below {SILENT_BELOW:.1%} (orange), saturated above {SATURATED_ABOVE:.0%} (purple)",
        fontsize=9,
    )
    left.set_yticks(places, names, fontsize=7)
    left.set_ylim(len(names) - 0.4, -0.6)
    for place, row in zip(places, report.layers, strict=True):
        if row.degradation == "silent":
            left.text(1, place, "silent", va="center", fontsize=7, color=DEGRADATION_COLOURS["silent"])
        elif row.firing_rate is None:
            left.text(1, place, "real-valued", va="center", fontsize=7, color="#555555")

    costs = report.costs
    ann = [row.formula.as_ann_mj(costs) for row in report.layers]
    snn = [row.formula.spiking_mj(costs) for row in report.layers]
    exact = [row.exact.spiking_mj(costs) for row in report.layers]
    right.barh(places, ann, color=ANN_COLOUR, height=0.75, label=f"as an ANN: {sum(ann):.3g} mJ")
    right.barh(
        places,
        snn,
        color=DEGRADATION_COLOURS[None],
        height=0.45,
        label=f"spiking, formula: {sum(snn):.3g} mJ",
    )
    right.plot(exact, places, "k|", markersize=6, label=f"spiking, exact: {sum(exact):.3g} mJ")
    right.set_xscale("symlog", linthresh=max(max(ann) / 1000, 1e-9))
    right.set_xlim(left=0)
    right.set_xlabel("mJ a window (linear below a thousandth of the largest, logarithmic above)")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8)
    right.grid(axis="x", alpha=0.3)
    figure.suptitle(f"Estimated energy, T x D = {report.slices} x {report.d_max}\n{subtitle}", fontsize=11)
    return figure
