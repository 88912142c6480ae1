"""The work of `spikewatch detect`; imported late, because the compiled runtime takes long to import."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from spikewatch.ingest.recording import Recording
from spikewatch.model.array_detector import ArrayDetector
from spikewatch.model.checkpoints.arrays import load_array_detector
from spikewatch.model.runtime.names import AUTO
from spikewatch.service.cli.interrupt import Interrupted, on_interrupt
from spikewatch.service.cli.options.detect import DetectOptions
from spikewatch.service.cli.progress import live_table, loading, print_warnings, speed_text
from spikewatch.service.cli.run_stats import RunStats
from spikewatch.service.cli.sinks import SinkWriter, open_sinks
from spikewatch.service.filters import Filters
from spikewatch.service.inference.offline import OfflineRun
from spikewatch.service.inference.options import slice_length_us, window_options
from spikewatch.service.inference.sources import RecordingSource
from spikewatch.service.output.drawing import training_banner
from spikewatch.service.output.open_writer import RunDescription, open_writer
from spikewatch.service.output.writers import ResultWriter
from spikewatch.service.schemas import Summary
from spikewatch.service.sinks.address import SinkAddress
from spikewatch.service.zones.schema import Zone


def run_detection(
    recording: Recording,
    options: DetectOptions,
    zones: tuple[Zone, ...] = (),
    filters: Filters | None = None,
    sinks: Sequence[SinkAddress] = (),
) -> None:
    """Run the detector, write the files, feed the sinks, and print a summary."""
    with loading():
        detector = load_array_detector(
            options.weights, options.device or "cpu", mode=options.mode, runtime=options.runtime or AUTO
        )
    detector.spec.check_input(events=True, name=recording.path.name)
    slice_us = slice_length_us(options, detector.spec)
    settings = None if filters is None else filters.settings()
    source = RecordingSource(
        recording, slice_us, detector.spec.representation, options.on_time_jump, settings
    )
    chosen = window_options(options, detector.spec, zones)
    run = OfflineRun(source, detector, replace(chosen, track=chosen.track or bool(zones)))
    stats = RunStats()
    with ExitStack() as stack:
        described = RunDescription(
            recording.path.stem, recording.sensor_size(), slice_us, detector.spec, zones
        )
        writers: list[ResultWriter] = [
            stack.enter_context(open_writer(path, described)) for path in options.paths
        ]
        if sinks:
            hub = stack.enter_context(open_sinks(sinks, "block"))
            writers.append(SinkWriter(hub, recording.path.stem))
        _run_and_write(run, source, writers, stats)
    _print_result(run.summary(), stats, detector, options)


def _run_and_write(
    run: OfflineRun, source: RecordingSource, writers: list[ResultWriter], stats: RunStats
) -> None:
    """Pass every slice to all writers, with a live table; Ctrl-C ends the recording early."""
    with on_interrupt(run.stop):
        with live_table("detecting", stats, source.recording.progress):
            for step in run:
                for window in step.windows:
                    stats.add(window.model_dump())
                for writer in writers:
                    writer.write(step)
        for writer in writers:
            writer.finish(run.summary())


def _print_result(summary: Summary, stats: RunStats, detector: ArrayDetector, options: DetectOptions) -> None:
    """Print the summary.

    Raises:
        Interrupted: after printing, if the run was stopped by Ctrl-C.
    """
    print_warnings(summary.warnings)
    if options.as_json:
        typer.echo(summary.model_dump_json())
    else:
        # standard output belongs to the lines of `--out -`
        Console(stderr=options.to_stdout).print(_summary_table(options.source.name, summary, stats, detector))
        for path in options.paths:
            if str(path) != "-":
                typer.echo(f"wrote {path}", err=options.to_stdout)
    if summary.interrupted:
        files = "; the files hold what was found until then" if options.paths else ""
        raise Interrupted(f"interrupted {stats.stream_us / 1e6:.2f} s into the recording{files}")


def _summary_table(name: str, summary: Summary, stats: RunStats, detector: ArrayDetector) -> Table:
    spec = detector.spec
    table = Table(title=name, caption=f"{spec.name}: {training_banner(spec.training)}", show_header=False)
    span_us = (summary.t_end_us or 0) - (summary.t_start_us or 0)
    energy = summary.energy_mj
    table.add_row("recording", f"{summary.format}, {summary.width}x{summary.height}, {span_us / 1e6:.2f} s")
    table.add_row("events", f"{summary.events:,}")
    if summary.dropped_events:
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in summary.dropped_events.items())
        table.add_row("dropped", dropped)
    if summary.filtered_events:
        removed = ", ".join(f"{count:,} {name}" for name, count in summary.filtered_events.items())
        table.add_row("removed by filters", removed)
    if summary.discontinuities:
        table.add_row("jumps in time", f"{summary.discontinuities:,}")
    table.add_row("windows", f"{summary.windows:,}")
    table.add_row("pace", speed_text(stats))
    table.add_row("runtime", detector.runtime)
    counts = ", ".join(f"{stats.box_counts[label]:,} {label}" for label in spec.class_names)
    table.add_row("boxes in all windows", counts)
    if stats.track_ids:
        table.add_row("tracks", f"{len(stats.track_ids):,}")
    for zone in stats.zones:
        table.add_row(f"zone {zone['zone']}", _zone_text(zone))
    if spec.config.spiking:
        table.add_row("firing rate", f"{summary.firing_rate:.1%} of neurons in each virtual step")
        table.add_row("energy, spiking", _energy_text(energy.snn, summary.windows, stats.power_mw[0]))
    table.add_row("energy, as an ANN", _energy_text(energy.ann, summary.windows, stats.power_mw[1]))
    if energy.snn and spec.config.spiking and spec.training != "untrained":
        table.add_row("saved by spikes", f"{energy.ann / energy.snn:.1f} times less (estimate, 45 nm)")
    return table


def _zone_text(zone: Mapping[str, Any]) -> str:
    """Return the counts of a zone at the end, such as `2 in (2 car), 0 out`."""
    parts = []
    for counts, way in ((zone["entered"], "in"), (zone["left"], "out")):
        by_class = ", ".join(f"{count:,} {label}" for label, count in counts.items() if count)
        parts.append(f"{sum(counts.values()):,} {way}" + (f" ({by_class})" if by_class else ""))
    if zone["mean_dwell_s"] is not None:
        parts.append(f"mean stay {zone['mean_dwell_s']:.2f} s")
    return ", ".join(parts)


def _energy_text(millijoules: float, windows: int, power_mw: float) -> str:
    return f"{millijoules:.2f} mJ, {millijoules / max(windows, 1):.3f} mJ a window, {power_mw:,.0f} mW"
