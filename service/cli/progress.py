"""The progress bar of long commands, on standard error, gone when they end."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from spikewatch.service.cli.run_stats import RunStats


@contextmanager
def loading() -> Iterator[None]:
    """Show that something loads, which takes seconds; only on a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status("loading..."):
        yield


def print_warnings(warnings: Sequence[str]) -> None:
    """Print doubts about the input on standard error."""
    for warning in warnings:
        print(f"spikewatch: warning: {warning}", file=sys.stderr)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None]]:
    """Show a bar; yield a function to call with the share done, 0 to 1."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=1.0)
        yield lambda done: progress.update(task, completed=done)


REFRESH_PER_S = 8


@contextmanager
def live_table(label: str, stats: RunStats, get_progress: Callable[[], float]) -> Iterator[None]:
    """Show the statistics and the progress, 0 to 1, until the block ends."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console)
    task = progress.add_task(label, total=1.0, pace="")

    def picture() -> RenderableType:
        progress.update(task, completed=get_progress(), pace=speed_text(stats))
        return Group(progress, stats_table(stats))

    with Live(console=console, transient=True, refresh_per_second=REFRESH_PER_S, get_renderable=picture):
        yield


def speed_text(stats: RunStats) -> str:
    """Return the speed in events per second and as a multiple of real time."""
    return f"{stats.events_per_s:,.0f} events/s, {stats.times_real_time:.1f} x real time"


def stats_table(stats: RunStats) -> Table:
    """Return a table of boxes, firing rate, power and latency."""
    rows = Table(show_header=False)
    now, window = stats.latest_box_counts, stats.latest_window
    if window is None:
        rows.add_row("boxes", "filling the first window")
        return rows
    for label, count in sorted(stats.box_counts.items()):
        rows.add_row(label, f"{now[label]:,} now, {count:,} in all windows")
    if not stats.box_counts:
        rows.add_row("boxes", "none so far")
    if stats.track_ids:
        rows.add_row("tracks", f"{len(stats.track_ids):,}")
    snn_mw, ann_mw = stats.power_mw
    rows.add_row("windows, events", f"{stats.windows:,}, {stats.events:,}")
    rows.add_row("firing rate", f"{window['firing_rate']:.1%}")
    rows.add_row("power, estimate", f"{snn_mw:,.0f} mW spiking, {ann_mw:,.0f} mW as an ANN")
    rows.add_row("latency", f"{window['latency_ms']:,.0f} ms a window")
    if window["dropped_windows"]:
        rows.add_row("dropped", f"{window['dropped_windows']:,} windows")
    return rows
