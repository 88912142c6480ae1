"""The report of an evaluation as tables on the terminal."""

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from spikewatch.model.training.evaluation.evaluation import Evaluation
from spikewatch.model.training.evaluation.metrics import PrecisionMetrics, Score
from spikewatch.service.reports.evaluation import EvaluationSettings, ReportContext, false_boxes_text

METRIC_HEADINGS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def print_evaluation(evaluation: Evaluation, context: ReportContext) -> None:
    """Print three tables: the settings, scores and costs as in the paper's table 4, and each class."""
    console = Console()
    console.print(_overview_table(evaluation, context))
    if context.settings is not None:
        console.print(_cost_table(evaluation, context.settings))
    console.print(_class_table(evaluation.score))


def _overview_table(evaluation: Evaluation, context: ReportContext) -> Table:
    table = Table(title=f"{context.dataset}, {context.split}", caption=context.headline, show_header=False)
    run = context.settings
    if run is not None:
        length = "" if run.slice_us is None else f", slices of {run.slice_us / 1000:g} ms"
        table.add_row("T x D", f"{run.slices} x {run.spec.config.d_max}{length}")
        table.add_row(
            "state", "carried through a recording" if run.state == "carry" else "reset, as the paper"
        )
        table.add_row("runtime", run.runtime)
    table.add_row("pictures" if context.kind == "coco" else "recordings", f"{evaluation.sources:,}")
    labelled = sum(row.labelled for row in evaluation.score.classes)
    found = sum(row.detected for row in evaluation.score.classes)
    table.add_row("images", f"{evaluation.score.images:,} with {labelled:,} boxes; {found:,} detected")
    if evaluation.false_boxes is not None:
        table.add_row("false boxes", false_boxes_text(evaluation.false_boxes))
    if evaluation.protocol is not None:
        keep = evaluation.protocol.box_filter
        limits = f"after {max(keep.after_us, 0) / 1e6:g} s, diagonal {keep.min_diagonal_px:g} px, sides "
        table.add_row("boxes count", f"{limits}{keep.min_side_px:g} px (rules {evaluation.protocol.name})")
    table.add_row("weights" if run else "boxes", context.training)
    return table


def _cost_table(evaluation: Evaluation, settings: EvaluationSettings) -> Table:
    """The columns of the paper's table 4, and the same network's energy as an ANN."""
    table = Table(title="a window: cost (estimate, 45 nm) and precision in percent", box=SIMPLE)
    for heading in ("T x D", "firing rate", "energy, mJ", "as an ANN, mJ", "AP50", "AP"):
        table.add_column(heading, justify="right", no_wrap=True)
    if evaluation.cost is not None:
        spiking, figures = settings.spec.config.spiking, evaluation.score.metrics
        table.add_row(
            f"{settings.slices} x {settings.spec.config.d_max}",
            f"{evaluation.cost.firing_rate:.1%}" if spiking else "-",
            f"{evaluation.cost.energy.snn_mj:.3f}" if spiking else "-",
            f"{evaluation.cost.energy.ann_mj:.3f}",
            _percent(figures.ap50),
            _percent(figures.ap),
        )
    return table


def _class_table(score: Score) -> Table:
    table = Table(title="average precision in percent", box=SIMPLE)
    table.add_column("class", no_wrap=True)
    for heading in (*METRIC_HEADINGS, "boxes", "detected"):
        table.add_column(heading, justify="right", no_wrap=True)
    counts = (sum(row.labelled for row in score.classes), sum(row.detected for row in score.classes))
    table.add_row("all", *_metric_cells(score.metrics), *(f"{count:,}" for count in counts))
    table.add_section()
    for row in score.classes:
        table.add_row(row.name, *_metric_cells(row.metrics), f"{row.labelled:,}", f"{row.detected:,}")
    return table


def _metric_cells(figures: PrecisionMetrics) -> list[str]:
    values = (
        figures.ap,
        figures.ap50,
        figures.ap75,
        figures.ap_small,
        figures.ap_medium,
        figures.ap_large,
    )
    return [_percent(value) for value in values]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
