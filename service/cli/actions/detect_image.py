"""The work of `spikewatch detect IMAGE`."""

from pathlib import Path

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from spikewatch.atomic_file import atomic_write
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.detections import Detections
from spikewatch.model.detector import Detector
from spikewatch.model.energy.formulas import mean_firing_rate
from spikewatch.model.energy.report import EnergyMeter
from spikewatch.model.prophesee_boxes import to_prophesee
from spikewatch.model.runtime.names import AUTO
from spikewatch.model.still_image import run_image
from spikewatch.service.cli.options.detect import DetectOptions
from spikewatch.service.cli.progress import loading
from spikewatch.service.inference.images import RgbImage, read_image
from spikewatch.service.inference.serialize import detection_messages
from spikewatch.service.output.drawing import annotate, training_banner
from spikewatch.service.schemas import EnergyMj, ImageResult

MAX_SHOWN = 20


def run_image_detection(options: DetectOptions) -> None:
    """Run the detector on one image, write the files, and print the boxes."""
    name = options.source.name
    with loading():
        detector = load_detector(
            options.weights, options.device or "cpu", mode=options.mode, runtime=options.runtime or AUTO
        )
    detector.spec.check_input(events=False, name=name)
    image = read_image(options.source)
    outputs = run_image(detector, image, options.slices or detector.spec.slices)
    meter = EnergyMeter(detector)
    meter.add_all(outputs)
    height, width = image.shape[:2]
    logits = [output.logits for output in outputs]
    detections = detector.postprocess(logits, (width, height), 0, options.confidence, options.iou)
    result = _make_result(detector, meter, detections, (width, height))
    for path in options.paths:
        _write_output(path, image, detections, result)
    if options.as_json:
        typer.echo(result.model_dump_json())
        return
    Console().print(_result_table(name, result))
    for path in options.paths:
        typer.echo(f"wrote {path}")


def _make_result(
    detector: Detector, meter: EnergyMeter, detections: Detections, image_size: tuple[int, int]
) -> ImageResult:
    spec = detector.spec
    energy = meter.report(meter.slices).formula
    rate = mean_firing_rate(detector.layers, meter.spikes, spec.config.d_max, meter.slices)
    return ImageResult(
        width=image_size[0],
        height=image_size[1],
        slices=meter.slices,
        detections=detection_messages(detections, spec.class_names),
        firing_rate=rate,
        energy_mj=EnergyMj(snn=energy.snn_mj, ann=energy.ann_mj),
        model=spec.name,
        training=spec.training,
    )


def _write_output(path: Path, image: RgbImage, detections: Detections, result: ImageResult) -> None:
    with atomic_write(path) as partial:
        if path.suffix == ".json":
            partial.write_text(result.model_dump_json() + "\n")
        elif path.suffix == ".npy":
            np.save(partial, to_prophesee(detections))
        else:
            Image.fromarray(_annotate(image, result)).save(partial, format="PNG")


def _annotate(image: RgbImage, result: ImageResult) -> RgbImage:
    boxes = result.detections
    energy = result.energy_mj
    return annotate(
        image,
        [(box.x, box.y, box.w, box.h) for box in boxes],
        [box.label for box in boxes],
        [box.confidence for box in boxes],
        [
            f"{len(boxes)} boxes   firing rate {result.firing_rate:.1%}   "
            f"energy {energy.snn:.2f} mJ spiking, {energy.ann:.2f} mJ as an ANN"
        ],
        f"{result.model}: {training_banner(result.training)}",
        legend=False,
    )


def _result_table(name: str, result: ImageResult) -> Table:
    table = Table(
        title=name, caption=f"{result.model}: {training_banner(result.training)}", show_header=False
    )
    table.add_row("picture", f"{result.width}x{result.height}, T = {result.slices}")
    for box in result.detections[:MAX_SHOWN]:
        place = f"{box.w:.0f}x{box.h:.0f} at {box.x:.0f}, {box.y:.0f}"
        table.add_row(f"{box.label} {box.confidence:.2f}", place)
    if len(result.detections) > MAX_SHOWN:
        table.add_row("and", f"{len(result.detections) - MAX_SHOWN} more")
    table.add_row("boxes", f"{len(result.detections)}")
    if result.firing_rate:
        table.add_row("firing rate", f"{result.firing_rate:.1%} of neurons in each virtual step")
        table.add_row("energy, spiking", f"{result.energy_mj.snn:.3f} mJ")
    table.add_row("energy, as an ANN", f"{result.energy_mj.ann:.3f} mJ")
    return table
