"""The report of an evaluation as tables on the terminal."""

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from spikewatch.model.training.evaluation.evaluation import Evaluation
from spikewatch.model.training.evaluation.metrics import Figures, Score
from spikewatch.service.reports.evaluation import Run, Setup

HEADINGS = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def print_report(done: Evaluation, setup: Setup) -> None:
    """Three tables: what was done; what it costs and finds, as the paper's table 4; and each class."""
    console = Console()
    console.print(_facts(done, setup))
    if setup.run is not None:
        console.print(_cost_and_precision(done, setup.run))
    console.print(_classes(done.score))


def _facts(done: Evaluation, setup: Setup) -> Table:
    table = Table(title=f"{setup.dataset}, {setup.split}", caption=setup.headline, show_header=False)
    run = setup.run
    if run is not None:
        length = "" if run.slice_us is None else f", slices of {run.slice_us / 1000:g} ms"
        table.add_row("T x D", f"{run.slices} x {run.spec.config.d_max}{length}")
        table.add_row(
            "state", "carried through a recording" if run.state == "carry" else "reset, as the paper"
        )
        table.add_row("runtime", run.runtime)
    table.add_row("pictures" if setup.kind == "coco" else "recordings", f"{done.sources:,}")
    labelled = sum(row.labelled for row in done.score.classes)
    found = sum(row.found for row in done.score.classes)
    table.add_row("images", f"{done.score.images:,} with {labelled:,} boxes; {found:,} detected")
    if done.rules is not None:
        keep = done.rules.keep
        limits = f"after {max(keep.after_us, 0) / 1e6:g} s, diagonal {keep.min_diagonal_px:g} px, sides "
        table.add_row("boxes count", f"{limits}{keep.min_side_px:g} px (rules {done.rules.name})")
    table.add_row("weights" if run else "boxes", setup.training)
    return table


def _cost_and_precision(done: Evaluation, run: Run) -> Table:
    """The columns of the paper's table 4, and the same network's energy as an ANN."""
    table = Table(title="a window: cost (estimate, 45 nm) and precision in percent", box=SIMPLE)
    for heading in ("T x D", "firing rate", "energy, mJ", "as an ANN, mJ", "AP50", "AP"):
        table.add_column(heading, justify="right", no_wrap=True)
    if done.cost is not None:
        spiking, figures = run.spec.config.spiking, done.score.figures
        table.add_row(
            f"{run.slices} x {run.spec.config.d_max}",
            f"{done.cost.firing_rate:.1%}" if spiking else "-",
            f"{done.cost.energy.snn_mj:.3f}" if spiking else "-",
            f"{done.cost.energy.ann_mj:.3f}",
            _percent(figures.ap50),
            _percent(figures.ap),
        )
    return table


def _classes(score: Score) -> Table:
    table = Table(title="average precision in percent", box=SIMPLE)
    table.add_column("class", no_wrap=True)
    for heading in (*HEADINGS, "boxes", "detected"):
        table.add_column(heading, justify="right", no_wrap=True)
    counts = (sum(row.labelled for row in score.classes), sum(row.found for row in score.classes))
    table.add_row("all", *_row(score.figures), *(f"{count:,}" for count in counts))
    table.add_section()
    for row in score.classes:
        table.add_row(row.name, *_row(row.figures), f"{row.labelled:,}", f"{row.found:,}")
    return table


def _row(figures: Figures) -> list[str]:
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
