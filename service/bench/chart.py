"""A benchmark's rows as a picture: medians, and what nine of ten measurements lie within."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spikewatch.service.bench.report import Chart

INCH_A_ROW = 0.24
BAR, LATE = "#3a6ea8", "#d55e00"


def draw(chart: Chart, title: str) -> Figure:
    """Horizontal bars of the medians, with whiskers."""
    names = [name for name, _ in chart.rows]
    spreads = [spread for _, spread in chart.rows]
    medians = [spread.median for spread in spreads]
    whiskers = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
    figure = Figure(figsize=(9, 1.6 + INCH_A_ROW * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = range(len(names))
    top = None if chart.limit is None else chart.limit[0]
    colours = [LATE if top is not None and spread.high > top else BAR for spread in spreads]
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
