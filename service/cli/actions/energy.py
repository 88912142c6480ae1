"""The work of `spikewatch energy`; apart from the command, because torch takes seconds to import."""

import json
from contextlib import ExitStack

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from spikewatch.ingest.open import open_recording
from spikewatch.ingest.recording import Recording
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.detector import Detector
from spikewatch.model.energy.formulas import OperationCosts
from spikewatch.model.energy.report import EnergyMeter, EnergyReport
from spikewatch.model.still_image import run_image
from spikewatch.service.cli.options.energy import EnergyOptions
from spikewatch.service.cli.progress import loading, print_warnings, progress_bar
from spikewatch.service.inference.exact_run import run_recording
from spikewatch.service.inference.images import is_image, read_image
from spikewatch.service.inference.options import slice_length_us
from spikewatch.service.output.drawing import training_banner
from spikewatch.service.plotting import check_plots
from spikewatch.service.reports.energy import (
    EnergyRow,
    energy_json,
    hardware_rows,
    layer_row,
    total_row,
    write_energy_report,
)

TABLE_WIDTH = 132
"""Columns that the table needs; a narrower terminal wraps lines, so that no figures are cut off."""


def run_energy(options: EnergyOptions) -> None:
    """Run the source, write the files, and print the table."""
    check_plots(options.paths)
    costs = OperationCosts(options.mac_pj, options.ac_pj)
    with ExitStack() as stack:
        recording = None
        if not is_image(options.source):
            opened = open_recording(options.source, options.width, options.height, stream=options.stream)
            recording = stack.enter_context(opened)
            recording.sensor_size()
        with loading():
            detector = load_detector(options.weights, mode=options.mode)
        slices = options.slices or detector.spec.slices
        slice_us = None if recording is None else slice_length_us(options, detector.spec)
        meter = _measure_energy(options, recording, detector, slices, slice_us)
        report = meter.report(slices, costs, slice_us)
    for path in options.paths:
        write_energy_report(path, report, detector.spec, options.hardware_names)
    if options.as_json:
        typer.echo(json.dumps(energy_json(report, detector.spec, options.hardware_names)))
        return
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    console.print(_layer_table(options.source.name, report, detector))
    console.print(_summary_text(report))
    if options.hardware_names:
        console.print(_hardware_table(report, options.hardware_names))
    for path in options.paths:
        typer.echo(f"wrote {path}")


def _measure_energy(
    options: EnergyOptions,
    recording: Recording | None,
    detector: Detector,
    slices: int,
    slice_us: int | None,
) -> EnergyMeter:
    source = options.source
    meter = EnergyMeter(detector)
    if recording is None or slice_us is None:
        detector.spec.check_input(events=False, name=source.name)
        meter.add_all(run_image(detector, read_image(source), slices))
        return meter
    with progress_bar("counting") as update:
        meter.add_all(run_recording(detector, recording, slices, slice_us, update))
    print_warnings(recording.warnings())
    return meter


def _layer_table(name: str, report: EnergyReport, detector: Detector) -> Table:
    title = f"{name}: one window, T x D = {report.slices} x {report.d_max}, mean of {report.windows:g}"
    table = Table(
        title=title, caption=f"{detector.spec.name}: {training_banner(detector.spec.training)}", box=SIMPLE
    )
    for heading in ("layer", "geometry"):
        table.add_column(heading, no_wrap=True)
    for heading in ("rate", "M AC", "by formula", "M MAC", "spiking mJ", "ANN mJ", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for layer in report.layers:
        values = layer_row(layer, report)
        kernel = layer.layer.kernel
        depthwise = " dw" if kernel.groups > 1 else ""
        stride = f" /{kernel.stride}" if kernel.stride > 1 else ""
        geometry = (
            f"{layer.layer.in_height}x{layer.layer.in_width} {kernel.in_channels}->{kernel.out_channels} "
            f"{kernel.size}x{kernel.size}{stride}{depthwise}"
        )
        rate = "real" if layer.firing_rate is None else f"{layer.firing_rate:.2%}"
        table.add_row(values["layer"], geometry, rate, *_figure_cells(values), layer.degradation or "")
    table.add_section()
    table.add_row("all", "", "", *_figure_cells(total_row(report)), "")
    return table


def _figure_cells(values: EnergyRow) -> list[str]:
    ratio = "-" if values["ratio"] is None else f"{values['ratio']:.1f}"
    operations = [f"{values[name] / 1e6:,.3f}" for name in ("ac", "ac_formula", "mac")]
    return [*operations, *(f"{values[name]:.4f}" for name in ("snn_mj", "ann_mj")), ratio]


def _summary_text(report: EnergyReport) -> str:
    sums, costs = total_row(report), report.costs
    lines = [
        f"{sums['snn_mj']:.3f} mJ spiking by the formula, {sums['snn_exact_mj']:.3f} mJ by exact counts",
        f"{sums['ann_mj']:.3f} mJ as an ANN on every slice; {sums['ann_once_mj']:.3f} mJ once a window, "
        "as the paper compares",
        f"estimates: {costs.ac_pj:g} pJ an AC, {costs.mac_pj:g} pJ a MAC",
    ]
    if sums["power_mw"] is not None:
        power = (sums[name] for name in ("power_mw", "joules_hour", "joules_day"))
        lines.insert(2, "a stream spends {:.4g} mW, {:.4g} J an hour, {:.4g} J a day".format(*power))
    if not any(row.firing_rate is not None for row in report.layers):
        return "\n".join([*lines, "no layer spikes: this is an ANN"])
    for kind in ("silent", "saturated"):
        names = [name for name, how in report.degraded.items() if how == kind]
        lines.append(f"{kind} layers: {', '.join(names) or 'none'}")
    return "\n".join(lines)


def _hardware_table(report: EnergyReport, names: list[str]) -> Table:
    table = Table(title="one window with neuron updates and memory traffic: estimates", box=SIMPLE)
    table.add_column("hardware", no_wrap=True)
    for heading in ("synapses mJ", "neurons mJ", "memory mJ", "total mJ", "mW", "ANN mJ", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("costs from")
    for row in hardware_rows(report, names):
        figures = (row[f"{part}_mj"] for part in ("synapses", "neurons", "memory", "total"))
        others = (row["power_mw"], row["ann_mj"], row["ratio"])
        cells = [f"{value:.4g}" for value in figures]
        cells += ["-" if value is None else f"{value:.4g}" for value in others]
        table.add_row(row["hardware"], *cells, row["source"])
    return table
