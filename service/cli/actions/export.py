"""The work of `spikewatch export`; apart from the command, because torch takes seconds to import."""

from contextlib import ExitStack
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from spikewatch.atomic_file import atomic_write
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.checkpoints.official_export import export_official
from spikewatch.model.detector import Detector
from spikewatch.model.export.engines import onnx_engine, openvino_engine
from spikewatch.model.export.onnx_export import write_onnx
from spikewatch.model.export.openvino_export import write_openvino
from spikewatch.model.export.optional_packages import require
from spikewatch.model.export.verify import Difference, compare

BYTES_PER_VALUE = 4


def run_export(out: Path, format: str, weights: str | None) -> None:
    """Export, run one step of what was written, and print how it compares with PyTorch."""
    detector = load_detector(weights)
    if format == "official":
        with atomic_write(out) as partial:
            export_official(detector.network, partial)
        typer.echo(f"wrote {out}: {len(detector.network.state_dict())} tensors, {detector.spec.training}")
        return
    with ExitStack() as stack:
        # the last is renamed first: where the .xml is, its .bin is
        paths = [out] if format == "onnx" else [out, out.with_suffix(".bin")]
        partial, *_ = [stack.enter_context(atomic_write(path)) for path in paths]
        if format == "onnx":
            require("onnxruntime")
            write_onnx(detector, partial)
            found = compare(detector, onnx_engine(partial))
        else:
            write_openvino(detector, partial)
            found = compare(detector, openvino_engine(partial))
    Console().print(_export_table(detector, paths, found))
    for path in paths:
        typer.echo(f"wrote {path}")


def _export_table(detector: Detector, files: list[Path], difference: Difference) -> Table:
    spec = detector.spec
    membranes = len(detector.state_shapes)
    values = sum(c * h * w for c, h, w in detector.state_shapes.values())
    table = Table(title=files[0].name, caption=f"{spec.name}: {spec.training}", show_header=False)
    table.add_row("inputs", f"{1 + membranes}: the frames, {membranes} membranes")
    counts = sum(layer.spiking for layer in detector.layers)
    table.add_row(
        "outputs", f"{3 + membranes + counts}: 3 levels, {membranes} membranes, {counts} spike counts"
    )
    table.add_row("state", f"{values * BYTES_PER_VALUE / 1e6:.1f} MB a stream")
    table.add_row("size", f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB")
    table.add_row("largest difference", f"{difference.max_abs_difference:.3g} from PyTorch over one step")
    table.add_row("spikes that differ", f"{difference.spikes:,} of {difference.spikes_fired:,}")
    table.add_row("training", spec.training)
    return table
