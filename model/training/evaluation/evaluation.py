"""What an evaluation needs and what it gives, whoever found the boxes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spikewatch.model.energy.formulas import Energy, mean_firing_rate
from spikewatch.model.energy.report import EnergyMeter
from spikewatch.model.errors import DatasetError
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes
from spikewatch.model.training.datasets.class_map import ClassMap
from spikewatch.model.training.datasets.labelled_recording import (
    LabelledFrame,
    LabelledRecording,
    filter_boxes,
    pool_detections,
)
from spikewatch.model.training.datasets.protocol import EvaluationProtocol, protocol_for_sensor
from spikewatch.model.training.evaluation.coco_eval import CocoEvaluator
from spikewatch.model.training.evaluation.metrics import Score
from spikewatch.model.training.evaluation.scored_image import ScoredImage


@dataclass(frozen=True, slots=True)
class RunCost:
    """What a run took.

    Attributes:
        windows: windows of T slices that were run; a fraction where the membranes were carried.
        firing_rate: spikes for each neuron and virtual step.
        energy: of one window, the mean, by the paper's formulas.
    """

    windows: float
    firing_rate: float
    energy: Energy


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A score, and what it took.

    Attributes:
        score: of the boxes.
        sources: recordings or pictures that were read.
        images: what was scored.
        cost: None for boxes from elsewhere.
        protocol: that boxes of recordings were filtered by; None for pictures.
    """

    score: Score
    sources: int
    images: tuple[ScoredImage, ...]
    cost: RunCost | None
    protocol: EvaluationProtocol | None


@dataclass(frozen=True, slots=True)
class PreparedGroundTruth:
    """What is to be found in recordings: for each its sensor's width and height, and its moments."""

    sensor_sizes: tuple[tuple[int, int], ...]
    frames: tuple[list[LabelledFrame], ...]
    protocol: EvaluationProtocol


def prepare_ground_truth(
    recordings: Sequence[LabelledRecording], classes: ClassMap, protocol: EvaluationProtocol | None = None
) -> PreparedGroundTruth:
    """Read the headers and labels of recordings.

    Args:
        recordings: at least one.
        classes: that are scored.
        protocol: of scoring; None for those of the sensor, which must be the same for all.

    Raises:
        DatasetError: labels are damaged, sensors differ in their rules, or nothing is left to be found.
        IngestError: a header is damaged.
    """
    sensors = []
    for each in recordings:
        with each.open() as recording:
            sensors.append(recording.sensor_size())
        own = protocol_for_sensor(*sensors[-1])
        if protocol is None and own != protocol_for_sensor(*sensors[0]):
            raise DatasetError(
                f"{each.events}: a sensor of {_size_text(sensors[-1])}, but {recordings[0].events.name} has "
                f"{_size_text(sensors[0])}, where other boxes count; name the rules (--protocol)"
            )
    protocol = protocol or protocol_for_sensor(*sensors[0])
    moments = tuple(
        each.labelled_frames(sensor, protocol, classes)
        for each, sensor in zip(recordings, sensors, strict=True)
    )
    if not any(len(moment.ground_truth) for some in moments for moment in some):
        scored = ", ".join(classes.names)
        raise DatasetError(
            f"{recordings[0].events.parent}: no label of {scored} is left after the filter "
            f"({protocol.box_filter})"
        )
    return PreparedGroundTruth(tuple(sensors), moments, protocol)


def _size_text(sensor: tuple[int, int]) -> str:
    return f"{sensor[0]}x{sensor[1]}"


def pair_images(
    ground_truth: PreparedGroundTruth, detections: Sequence[PropheseeBoxes], classes: ClassMap, pool_us: int
) -> tuple[ScoredImage, ...]:
    """Every moment with the boxes near it.

    Args:
        ground_truth: of some recordings.
        detections: of the same, each in order of time, with the ids that detections have.
        classes: that are scored.
        pool_us: how near, inclusive.
    """
    return tuple(
        ScoredImage(source, moment.t_us, moment.ground_truth, near)
        for source, (sensor, moments, boxes) in enumerate(
            zip(ground_truth.sensor_sizes, ground_truth.frames, detections, strict=True)
        )
        for moment, near in zip(
            moments,
            pool_detections(
                moments,
                filter_boxes(boxes, sensor, ground_truth.protocol, classes.detection_to_index),
                pool_us,
            ),
            strict=True,
        )
    )


def compute_score(images: Sequence[ScoredImage], names: Sequence[str]) -> Score:
    """COCO's figures of some images."""
    scorer = CocoEvaluator(names)
    for image in images:
        scorer.add(image.ground_truth, image.detections)
    return scorer.score()


def compute_cost(meter: EnergyMeter, slices: int) -> RunCost:
    """What a window of `slices` slices cost on the mean."""
    report = meter.report(slices)
    layers = [row.layer for row in report.layers]
    rate = mean_firing_rate(layers, meter.spikes, report.d_max, meter.slices)
    return RunCost(report.windows, rate, report.formula)


def concat_prophesee(parts: Sequence[PropheseeBoxes]) -> PropheseeBoxes:
    """Boxes one after the other, in the layout of one array."""
    return np.concatenate([np.zeros(0, BBOX_DTYPE), *parts])
