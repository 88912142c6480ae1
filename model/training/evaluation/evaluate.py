"""Evaluation: run a detector over labelled recordings or pictures, or take boxes as given, and score them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikewatch.model.detections import Detections
from spikewatch.model.detector import Detector
from spikewatch.model.energy.report import EnergyMeter
from spikewatch.model.errors import ConfigError, DatasetError
from spikewatch.model.letterbox import Letterbox, prepare_frame
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, Boxes, prophesee_boxes, to_detections
from spikewatch.model.training.datasets.class_map import ClassMap, same_classes
from spikewatch.model.training.datasets.coco_images import CocoImages, LabelledPicture
from spikewatch.model.training.datasets.labelled_recording import Labelled
from spikewatch.model.training.datasets.protocol import Rules
from spikewatch.model.training.datasets.window_bounds import Cut
from spikewatch.model.training.evaluation.box_selection import Choice
from spikewatch.model.training.evaluation.evaluation import (
    Evaluation,
    Prepared,
    cost_of,
    images_of,
    joined,
    prepare,
    score_of,
)
from spikewatch.model.training.evaluation.scored_image import ScoredImage
from spikewatch.model.training.evaluation.window_runner import RUNS, Job, row_of

Progress = Callable[[float], None]
ReadPicture = Callable[[Path], NDArray[np.uint8]]

CHOICE = Choice()


def _quiet(_done: float) -> None:
    pass


def evaluate_recordings(
    detector: Detector,
    recordings: Sequence[Labelled],
    cut: Cut | None = None,
    state: str = "reset",
    choice: Choice = CHOICE,
    progress: Progress = _quiet,
    *,
    rules: Rules | None = None,
    classes: ClassMap | None = None,
    batch: int = 1,
) -> Evaluation:
    """Score a detector on recordings, by Prophesee's protocol unless told otherwise. Prints nothing.

    Args:
        detector: with weights for events, its network in evaluation mode.
        recordings: a split, or a few of it; at most `batch` are open at a time, and only boxes are kept.
        cut: the window before a label; None for the weights' own.
        state: `reset` or `carry`, see `model.training.windows`.
        choice: of boxes.
        progress: called with the share done.
        rules: which boxes count; None for those of the sensor.
        classes: that are scored; None where labels number the weights' classes.
        batch: windows (`reset`) or recordings (`carry`) in one batch; changes no result where sums are exact.

    Raises:
        DatasetError: there are no recordings, labels are damaged, or none counts.
        IngestError: a recording is damaged.
        ConfigError: the weights look at pictures, `carry` does not go with them, or the network is training.
    """
    spec = detector.spec
    if not recordings:
        raise DatasetError("no recordings to score")
    if detector.network.training:
        raise ConfigError(
            f"{spec.name} is in training mode, where scoring would change it; call network.eval()"
        )
    spec.check_input(events=True, name=recordings[0].events.name)
    cut = cut or Cut(spec.slices, spec.slice_us)
    classes = classes or same_classes(spec.class_names)
    truth, meter = prepare(recordings, classes, rules), EnergyMeter(detector)
    jobs = [
        Job(each, [moment.t_us for moment in some])
        for each, some in zip(recordings, truth.moments, strict=True)
    ]
    found: list[list[Boxes]] = [[] for _ in recordings]
    for ran in RUNS[state](detector, jobs, cut, batch):
        meter.add(ran.out)
        for source, label_us, logits in ran.ends:
            at_label = detector.detections(
                logits, truth.sensors[source], label_us, choice.confidence, choice.iou
            )
            found[source].append(prophesee_boxes(at_label))
        progress(ran.done / len(recordings))
    # one set of boxes for each label: those of its neighbours, pooled in, would count as false
    images = images_of(truth, [joined(parts) for parts in found], classes, pool_us=0)
    cost = cost_of(meter, cut.slices)
    return Evaluation(score_of(images, classes.names), len(recordings), images, cost, truth.rules)


def evaluate_boxes(truth: Prepared, found: Sequence[Boxes], classes: ClassMap) -> Evaluation:
    """Score boxes from elsewhere.

    Args:
        truth: of some recordings.
        found: of the same, each in order of time.
        classes: that are scored.

    Raises:
        DatasetError: there are boxes, but none near any label.
    """
    images = images_of(truth, found, classes, truth.rules.pool_us)
    if any(map(len, found)) and not any(len(image.found) for image in images):
        pool_ms = truth.rules.pool_us / 1000
        raise DatasetError(
            f"of {sum(map(len, found))} detections none counts: times are in microseconds of the recording, "
            f"within {pool_ms:g} ms of a label's; boxes are in pixels, filtered by {truth.rules.keep}"
        )
    return Evaluation(score_of(images, classes.names), len(found), images, None, truth.rules)


def evaluate_pictures(
    detector: Detector,
    images: CocoImages,
    slices: int,
    choice: Choice,
    read: ReadPicture,
    progress: Progress = _quiet,
    batch: int = 1,
) -> Evaluation:
    """Score pictures, each from rest.

    Args:
        detector: with weights for pictures.
        images: a split.
        slices: T.
        choice: of boxes.
        read: red, green, blue, uint8 [H,W,3] from a file.
        progress: called with the share done.
        batch: pictures in one batch.

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
    meter = EnergyMeter(detector)
    scored: list[ScoredImage] = []
    for start in range(0, len(images.pictures), batch):
        some = images.pictures[start : start + batch]
        frames = torch.stack([_frame(each, read, detector) for each in some])
        outputs = detector.window(torch.stack([frames] * slices))
        meter.add_all(outputs)
        for row, each in enumerate(some):
            logits, size = [row_of(out.raw, row) for out in outputs], (each.width, each.height)
            found = detector.detections(logits, size, 0, choice.confidence, choice.iou)
            scored.append(ScoredImage(start + row, 0, each.truth, found))
        progress(len(scored) / len(images.pictures))
    score = score_of(scored, spec.class_names)
    return Evaluation(score, len(scored), tuple(scored), cost_of(meter, slices), None)


def _frame(each: LabelledPicture, read: ReadPicture, detector: Detector) -> Tensor:
    """Network input [P,h,w]."""
    picture = read(each.path)
    height, width = picture.shape[:2]
    if (width, height) != (each.width, each.height):
        raise DatasetError(
            f"{each.path}: {width}x{height}, but {each.width}x{each.height} by its annotations"
        )
    box = Letterbox.fit(width, height, detector.spec)
    return prepare_frame(picture.transpose(2, 0, 1), box, detector.spec)


def evaluate_picture_boxes(images: CocoImages, found: Mapping[int, Detections]) -> Evaluation:
    """Score boxes in pictures from elsewhere; found: image id -> boxes, with contiguous class ids."""
    nothing = to_detections(np.zeros(0, BBOX_DTYPE), 0)
    scored = tuple(
        ScoredImage(index, 0, each.truth, found.get(each.image_id, nothing))
        for index, each in enumerate(images.pictures)
    )
    return Evaluation(score_of(scored, images.class_names), len(scored), scored, None, None)
