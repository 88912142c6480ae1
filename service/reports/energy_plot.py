"""The energy report as a picture: firing rate and energy of every layer, degraded ones in colour."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spikewatch.model.energy.degradation import SATURATED_ABOVE, SILENT_BELOW
from spikewatch.model.energy.report import EnergyReport

INCH_A_LAYER = 0.17
COLOURS = {None: "#3a6ea8", "silent": "#d55e00", "saturated": "#cc79a7"}
GROUND = "#b8c0c8"


def plot(report: EnergyReport, subtitle: str) -> Figure:
    """Two columns of horizontal bars, a layer a row, the first layer on top."""
    names = [row.layer.name for row in report.layers]
    places = range(len(names))
    figure = Figure(figsize=(13, 2.2 + INCH_A_LAYER * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)

    rates = [100 * (row.firing_rate or 0.0) for row in report.layers]
    left.barh(places, rates, color=[COLOURS[row.degradation] for row in report.layers], height=0.75)
    left.axvline(100 * SATURATED_ABOVE, color=COLOURS["saturated"], linewidth=1, linestyle="--")
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
            left.text(1, place, "silent", va="center", fontsize=7, color=COLOURS["silent"])
        elif row.firing_rate is None:
            left.text(1, place, "real-valued", va="center", fontsize=7, color="#555555")

    costs = report.costs
    ann = [row.formula.as_ann_mj(costs) for row in report.layers]
    snn = [row.formula.spiking_mj(costs) for row in report.layers]
    exact = [row.exact.spiking_mj(costs) for row in report.layers]
    right.barh(places, ann, color=GROUND, height=0.75, label=f"as an ANN: {sum(ann):.3g} mJ")
    right.barh(places, snn, color=COLOURS[None], height=0.45, label=f"spiking, formula: {sum(snn):.3g} mJ")
    right.plot(exact, places, "k|", markersize=6, label=f"spiking, exact: {sum(exact):.3g} mJ")
    right.set_xscale("symlog", linthresh=max(max(ann) / 1000, 1e-9))
    right.set_xlim(left=0)
    right.set_xlabel("mJ a window (linear below a thousandth of the largest, logarithmic above)")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8)
    right.grid(axis="x", alpha=0.3)
    figure.suptitle(f"Estimated energy, T x D = {report.slices} x {report.d_max}\n{subtitle}", fontsize=11)
    return figure
