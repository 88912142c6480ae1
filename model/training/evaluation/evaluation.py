"""Data of an evaluation: prepared ground truth, scored images, score and cost."""

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
    """Cost of a run.

    Attributes:
        windows: windows of T slices that were run; with a fraction if membranes were carried.
        firing_rate: spikes for each neuron and virtual step.
        energy: mean energy of one window, by the paper's formulas.
    """

    windows: float
    firing_rate: float
    energy: Energy


@dataclass(frozen=True, slots=True)
class FalseBoxes:
    """Boxes at times without any labelled object, at the default thresholds of `detect` and the service.

    Average precision hardly sees them, because Prophesee's protocol scores only times with labels.

    Attributes:
        boxes: number of boxes.
        moments: number of labelled times without a box or an ignore region, each with one result.
        window_us: time from result to result of a live stream, T slices.
        confidence: minimum confidence of a box.
    """

    boxes: int
    moments: int
    window_us: int
    confidence: float

    @property
    def per_second(self) -> float:
        """False boxes a second of a live stream."""
        return self.boxes / (self.moments * self.window_us * 1e-6)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        score: score of the detections.
        sources: number of recordings or images that were read.
        images: the scored images.
        cost: cost of the run; None for detections of another system.
        protocol: protocol of the recordings; None for images.
        false_boxes: boxes at times without objects; None without such times, and for images.
    """

    score: Score
    sources: int
    images: tuple[ScoredImage, ...]
    cost: RunCost | None
    protocol: EvaluationProtocol | None
    false_boxes: FalseBoxes | None = None


@dataclass(frozen=True, slots=True)
class PreparedGroundTruth:
    """Ground truth of recordings.

    Attributes:
        sensor_sizes: width and height of the sensor of each recording.
        frames: labelled frames of each recording.
        empty_us: labelled times of each recording without a box or an ignore region.
        protocol: evaluation protocol.
    """

    sensor_sizes: tuple[tuple[int, int], ...]
    frames: tuple[list[LabelledFrame], ...]
    empty_us: tuple[frozenset[int], ...]
    protocol: EvaluationProtocol

    def times_us(self, source: int) -> list[int]:
        """Return the labelled times of a recording, in order: of its frames, and times without objects."""
        return sorted({frame.t_us for frame in self.frames[source]} | self.empty_us[source])


def prepare_ground_truth(
    recordings: Sequence[LabelledRecording], classes: ClassMap, protocol: EvaluationProtocol | None = None
) -> PreparedGroundTruth:
    """Read the headers and labels of recordings.

    Args:
        recordings: at least one recording.
        classes: scored classes.
        protocol: evaluation protocol; None for that of the sensor, which must be the same for all recordings.

    Raises:
        DatasetError: labels are damaged, the protocols of the sensors differ, or no label is left to score
            and no labelled time is empty.
        IngestError: a header is damaged.
    """
    sensors = []
    for labelled in recordings:
        with labelled.open() as recording:
            sensors.append(recording.sensor_size())
        if protocol is None and protocol_for_sensor(*sensors[-1]) != protocol_for_sensor(*sensors[0]):
            raise DatasetError(
                f"{labelled.events}: a sensor of {_size_text(sensors[-1])}, but {recordings[0].events.name} "
                f"has {_size_text(sensors[0])} and another protocol; choose one with --protocol"
            )
    protocol = protocol or protocol_for_sensor(*sensors[0])
    frames = tuple(
        labelled.labelled_frames(sensor, protocol, classes)
        for labelled, sensor in zip(recordings, sensors, strict=True)
    )
    empty_us = tuple(
        frozenset(t_us for t_us in labelled.empty_times_us() if t_us > protocol.box_filter.after_us)
        for labelled in recordings
    )
    has_boxes = any(len(frame.ground_truth) for of_recording in frames for frame in of_recording)
    if not has_boxes and not any(empty_us):
        scored = ", ".join(classes.names)
        raise DatasetError(
            f"{recordings[0].events.parent}: no label of {scored} is left after the filter "
            f"({protocol.box_filter})"
        )
    return PreparedGroundTruth(tuple(sensors), frames, empty_us, protocol)


def _size_text(sensor: tuple[int, int]) -> str:
    return f"{sensor[0]}x{sensor[1]}"


def pair_images(
    ground_truth: PreparedGroundTruth, detections: Sequence[PropheseeBoxes], classes: ClassMap, pool_us: int
) -> tuple[ScoredImage, ...]:
    """Pair every labelled frame with the detections near it.

    Args:
        ground_truth: ground truth of recordings.
        detections: detections of each of these recordings, in order of time, before `classes` is applied.
        classes: scored classes.
        pool_us: maximum distance in time, inclusive.
    """
    return tuple(
        ScoredImage(source, frame.t_us, frame.ground_truth, nearby)
        for source, (sensor, frames, boxes) in enumerate(
            zip(ground_truth.sensor_sizes, ground_truth.frames, detections, strict=True)
        )
        for frame, nearby in zip(
            frames,
            pool_detections(
                frames,
                filter_boxes(boxes, sensor, ground_truth.protocol, classes.detection_to_index),
                pool_us,
            ),
            strict=True,
        )
    )


def compute_score(images: Sequence[ScoredImage], names: Sequence[str]) -> Score:
    """Compute COCO's metrics of images."""
    evaluator = CocoEvaluator(names)
    for image in images:
        evaluator.add(image.ground_truth, image.detections)
    return evaluator.score()


def compute_cost(meter: EnergyMeter, slices: int) -> RunCost:
    """Compute the mean cost of a window of `slices` slices."""
    report = meter.report(slices)
    layers = [row.layer for row in report.layers]
    rate = mean_firing_rate(layers, meter.spikes, report.d_max, meter.slices)
    return RunCost(report.windows, rate, report.formula)


def concat_prophesee(parts: Sequence[PropheseeBoxes]) -> PropheseeBoxes:
    """Concatenate boxes; returns an empty array for no parts."""
    return np.concatenate([np.zeros(0, BBOX_DTYPE), *parts])
