"""Precision over recall of each class, at the overlaps for which curves are kept."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spikewatch.model.training.evaluation.metrics import CURVE_IOUS, RECALLS, Score

COLOURS = ("#e69f00", "#009e73", "#0072b2", "#cc79a7", "#d55e00", "#56b4e9", "#f0c000", "#000000")
"""Okabe and Ito's palette, which the colour-blind can tell apart."""

STYLES = ("-", "--", ":", "-.")
"""Classes beyond the palette repeat its colours in another style."""

MOST_IN_LEGEND = 24


def plot_curves(score: Score, title: str) -> Figure:
    """A panel for each IoU, a line for each class that has objects to be found."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(CURVE_IOUS), sharey=True)
    for panel, iou in zip(panels, CURVE_IOUS, strict=True):
        curves = [curve for curve in score.curves if curve.iou == iou]
        for index, curve in enumerate(curves):
            colour = COLOURS[index % len(COLOURS)]
            style = STYLES[index // len(COLOURS) % len(STYLES)]
            label = f"{curve.name} {100 * curve.precision.mean():.1f}" if index < MOST_IN_LEGEND else None
            panel.plot(RECALLS, curve.precision, color=colour, linestyle=style, label=label)
        panel.set_title(f"IoU {iou:g}: AP in percent beside the class", fontsize=9)
        panel.set_xlabel("recall")
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1.02)
        panel.grid(alpha=0.3)
        if curves:
            panel.legend(fontsize=8, loc="upper right")
    panels[0].set_ylabel("precision at this recall or beyond")
    figure.suptitle(title, fontsize=11)
    return figure
