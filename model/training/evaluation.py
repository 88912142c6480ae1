"""Evaluation: run a detector over a labelled data set, score its boxes, and say what a window costs."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.recording import Recording
from model.detections import Detections
from model.detector import Detector
from model.energy import Energy, mean_firing_rate
from model.errors import DatasetError
from model.network import RawOutputs
from model.prophesee import BBOX_DTYPE, Boxes, prophesee_boxes
from model.report import EnergyMeter
from model.still import run_still
from model.training.choice import Choice
from model.training.coco_images import CocoImages, LabelledPicture
from model.training.coco_score import CocoScorer, Score, images_at_labels
from model.training.gen1 import LabelledRecording
from model.training.labels import GEN1_FILTER, BoxFilter, read_labels
from model.training.windows import RUNS, Cut

Progress = Callable[[float], None]
ReadPicture = Callable[[Path], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A score, and what it took.

    Attributes:
        score: of the boxes.
        sources: recordings or pictures that were read.
        windows: windows of T slices that were run; a fraction where the membranes were carried.
        firing_rate: spikes for each neuron and virtual step.
        energy: of one window, the mean, by the paper's formulas.
    """

    score: Score
    sources: int
    windows: float
    firing_rate: float
    energy: Energy


def evaluate_recordings(
    detector: Detector,
    recordings: Sequence[LabelledRecording],
    cut: Cut,
    state: str,
    choice: Choice,
    progress: Progress,
    keep: BoxFilter = GEN1_FILTER,
) -> Evaluation:
    """Score recordings by Prophesee's protocol. One recording is open at a time; only boxes are kept.

    Args:
        detector: with weights for events.
        recordings: a split.
        cut: the window before a label.
        state: `reset` or `carry`, see `model.training.windows`.
        choice: of boxes.
        progress: called with the share done.
        keep: which labels and detections count.

    Raises:
        DatasetError: labels are damaged, or none counts.
        IngestError: a recording is damaged.
        ConfigError: the weights look at pictures, or `carry` does not go with them.
    """
    spec = detector.spec
    spec.check_input(events=True, name=recordings[0].events.name)
    labels = [keep.apply(read_labels(each.labels, len(spec.class_names))) for each in recordings]
    if not any(map(len, labels)):
        raise DatasetError(f"{recordings[0].labels.parent}: no label is left after the filter ({keep})")
    scorer, meter = CocoScorer(spec.class_names), EnergyMeter(detector)
    for index, (each, boxes) in enumerate(zip(recordings, labels, strict=True)):
        with each.open() as recording:
            times = np.unique(boxes["t"]).tolist()
            found = []
            for at_label in detect_at_labels(detector, recording, times, cut, state, choice, meter):
                found.append(prophesee_boxes(at_label))
                progress((index + recording.progress()) / len(recordings))
            for truth, pooled in images_at_labels(boxes, keep.apply(_joined(found))):
                scorer.add(truth, pooled)
    return _evaluation(scorer, meter, len(recordings), cut.slices)


def detect_at_labels(
    detector: Detector,
    recording: Recording,
    labels_us: Sequence[int],
    cut: Cut,
    state: str,
    choice: Choice,
    meter: EnergyMeter,
) -> Iterator[Detections]:
    """One set of boxes for each label, stamped with its time."""
    recent: deque[RawOutputs] = deque(maxlen=cut.slices)
    for ran in RUNS[state](detector, recording, labels_us, cut):
        meter.add(ran.out)
        recent.append(ran.out.raw)
        if ran.label_us is not None:
            size = recording.sensor_size()
            yield detector.detections(list(recent), size, ran.label_us, choice.confidence, choice.iou)


def evaluate_pictures(
    detector: Detector,
    images: CocoImages,
    slices: int,
    choice: Choice,
    read: ReadPicture,
    progress: Progress,
) -> Evaluation:
    """Score pictures, each from rest.

    Args:
        detector: with weights for pictures.
        images: a split.
        slices: T.
        choice: of boxes.
        read: red, green, blue, uint8 [H,W,3] from a file.
        progress: called with the share done.

    Raises:
        DatasetError: there are no pictures, a picture is not what the annotations say, or has other classes.
        ConfigError: the weights look at events.
    """
    spec = detector.spec
    if not images.pictures:
        raise DatasetError("the annotations name no pictures")
    spec.check_input(events=False, name=images.pictures[0].path.name)
    if len(images.class_names) != len(spec.class_names):
        given, known = len(images.class_names), len(spec.class_names)
        raise DatasetError(f"the annotations have {given} classes, but {spec.name} knows {known}")
    scorer, meter = CocoScorer(spec.class_names), EnergyMeter(detector)
    for index, each in enumerate(images.pictures, 1):
        outputs = run_still(detector, _read(each, read), slices, exact=False)
        meter.add_all(outputs)
        raw, size = [out.raw for out in outputs], (each.width, each.height)
        scorer.add(each.truth, detector.detections(raw, size, 0, choice.confidence, choice.iou))
        progress(index / len(images.pictures))
    return _evaluation(scorer, meter, len(images.pictures), slices)


def _read(each: LabelledPicture, read: ReadPicture) -> NDArray[np.uint8]:
    picture = read(each.path)
    height, width = picture.shape[:2]
    if (width, height) != (each.width, each.height):
        raise DatasetError(
            f"{each.path}: {width}x{height}, but {each.width}x{each.height} by its annotations"
        )
    return picture


def _joined(parts: list[Boxes]) -> Boxes:
    return np.concatenate([np.zeros(0, BBOX_DTYPE), *parts])


def _evaluation(scorer: CocoScorer, meter: EnergyMeter, sources: int, slices: int) -> Evaluation:
    report = meter.report(slices)
    layers = [row.layer for row in report.layers]
    rate = mean_firing_rate(layers, meter.spikes, report.d_max, meter.slices)
    return Evaluation(scorer.score(), sources, report.windows, rate, report.formula)
