"""What an evaluation needs and what it gives, whoever found the boxes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spikewatch.model.energy.formulas import Energy, mean_firing_rate
from spikewatch.model.energy.report import EnergyMeter
from spikewatch.model.errors import DatasetError
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, Boxes
from spikewatch.model.training.datasets.class_map import ClassMap
from spikewatch.model.training.datasets.labelled_recording import Labelled, Moment, counted, pooled
from spikewatch.model.training.datasets.protocol import Rules, rules_for
from spikewatch.model.training.evaluation.coco_eval import CocoScorer
from spikewatch.model.training.evaluation.metrics import Score
from spikewatch.model.training.evaluation.scored_image import ScoredImage


@dataclass(frozen=True, slots=True)
class Cost:
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
        rules: that boxes of recordings were filtered by; None for pictures.
    """

    score: Score
    sources: int
    images: tuple[ScoredImage, ...]
    cost: Cost | None
    rules: Rules | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is to be found in recordings: for each its sensor's width and height, and its moments."""

    sensors: tuple[tuple[int, int], ...]
    moments: tuple[list[Moment], ...]
    rules: Rules


def prepare(recordings: Sequence[Labelled], classes: ClassMap, rules: Rules | None = None) -> Prepared:
    """Read the headers and labels of recordings.

    Args:
        recordings: at least one.
        classes: that are scored.
        rules: of scoring; None for those of the sensor, which must be the same for all.

    Raises:
        DatasetError: labels are damaged, sensors differ in their rules, or nothing is left to be found.
        IngestError: a header is damaged.
    """
    sensors = []
    for each in recordings:
        with each.open() as recording:
            sensors.append(recording.sensor_size())
        own = rules_for(*sensors[-1])
        if rules is None and own != rules_for(*sensors[0]):
            raise DatasetError(
                f"{each.events}: a sensor of {_size(sensors[-1])}, but {recordings[0].events.name} has "
                f"{_size(sensors[0])}, where other boxes count; name the rules (--protocol)"
            )
    rules = rules or rules_for(*sensors[0])
    moments = tuple(
        each.moments(sensor, rules, classes) for each, sensor in zip(recordings, sensors, strict=True)
    )
    if not any(len(moment.truth) for some in moments for moment in some):
        scored = ", ".join(classes.names)
        raise DatasetError(
            f"{recordings[0].events.parent}: no label of {scored} is left after the filter ({rules.keep})"
        )
    return Prepared(tuple(sensors), moments, rules)


def _size(sensor: tuple[int, int]) -> str:
    return f"{sensor[0]}x{sensor[1]}"


def images_of(
    truth: Prepared, found: Sequence[Boxes], classes: ClassMap, pool_us: int
) -> tuple[ScoredImage, ...]:
    """Every moment with the boxes near it.

    Args:
        truth: of some recordings.
        found: of the same, each in order of time, with the ids that detections have.
        classes: that are scored.
        pool_us: how near, inclusive.
    """
    return tuple(
        ScoredImage(source, moment.t_us, moment.truth, near)
        for source, (sensor, moments, boxes) in enumerate(
            zip(truth.sensors, truth.moments, found, strict=True)
        )
        for moment, near in zip(
            moments,
            pooled(moments, counted(boxes, sensor, truth.rules, classes.of_found), pool_us),
            strict=True,
        )
    )


def score_of(images: Sequence[ScoredImage], names: Sequence[str]) -> Score:
    """COCO's figures of some images."""
    scorer = CocoScorer(names)
    for image in images:
        scorer.add(image.truth, image.found)
    return scorer.score()


def cost_of(meter: EnergyMeter, slices: int) -> Cost:
    """What a window of `slices` slices cost on the mean."""
    report = meter.report(slices)
    layers = [row.layer for row in report.layers]
    rate = mean_firing_rate(layers, meter.spikes, report.d_max, meter.slices)
    return Cost(report.windows, rate, report.formula)


def joined(parts: Sequence[Boxes]) -> Boxes:
    """Boxes one after the other, in the layout of one array."""
    return np.concatenate([np.zeros(0, BBOX_DTYPE), *parts])
