"""Evaluation: score a detector on labelled recordings or images, or score given detections."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from spikewatch.model.detections import Detections
from spikewatch.model.detector import DEFAULT_CONFIDENCE, Detector
from spikewatch.model.energy.report import EnergyMeter
from spikewatch.model.errors import ConfigError, DatasetError
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes, from_prophesee, to_prophesee
from spikewatch.model.training.datasets.class_map import ClassMap, identity_map
from spikewatch.model.training.datasets.coco_images import (
    CocoImages,
    LabelledImage,
    ReadImage,
    check_images,
    read_labelled_image,
)
from spikewatch.model.training.datasets.labelled_recording import LabelledRecording
from spikewatch.model.training.datasets.protocol import EvaluationProtocol
from spikewatch.model.training.datasets.window_bounds import WindowSpec
from spikewatch.model.training.evaluation.box_selection import BoxSelection
from spikewatch.model.training.evaluation.evaluation import (
    Evaluation,
    FalseBoxes,
    PreparedGroundTruth,
    compute_cost,
    compute_score,
    concat_prophesee,
    pair_images,
    prepare_ground_truth,
)
from spikewatch.model.training.evaluation.scored_image import ScoredImage
from spikewatch.model.training.evaluation.window_runner import RUNNERS, LabelledRun, select_sample

ProgressCallback = Callable[[float], None]

DEFAULT_SELECTION = BoxSelection()


def _no_progress(_done: float) -> None:
    pass


def evaluate_recordings(
    detector: Detector,
    recordings: Sequence[LabelledRecording],
    window_spec: WindowSpec | None = None,
    state: str = "reset",
    selection: BoxSelection = DEFAULT_SELECTION,
    progress: ProgressCallback = _no_progress,
    *,
    protocol: EvaluationProtocol | None = None,
    classes: ClassMap | None = None,
    batch: int = 1,
) -> Evaluation:
    """Score a detector on recordings, by default with Prophesee's protocol.

    Args:
        detector: detector with weights for events, with its network in evaluation mode.
        recordings: recordings of a split; at most `batch` are open at a time, and only boxes are kept.
        window_spec: window before a label; None for that of the weights.
        state: `reset` or `carry`, see `window_runner`.
        selection: selection of the scored boxes.
        progress: called with the share that is done.
        protocol: evaluation protocol; None for that of the sensor.
        classes: scored classes; None if labels have the class ids of the weights.
        batch: windows (`reset`) or recordings (`carry`) in one batch; does not change results if sums are
            exact.

    Raises:
        DatasetError: there are no recordings, labels are damaged, or there is nothing to score.
        IngestError: a recording is damaged.
        ConfigError: the weights take images, they do not support `carry`, or the network is in training mode.
    """
    spec = detector.spec
    if not recordings:
        raise DatasetError("no recordings to score; expected at least one")  # no value
    if detector.network.training:
        raise ConfigError(
            f"{spec.name} is in training mode, in which scoring would change its weights; call network.eval()"
        )
    spec.check_input(events=True, name=recordings[0].events.name)
    window_spec = window_spec or WindowSpec(spec.slices, spec.slice_us)
    classes = classes or identity_map(spec.class_names)
    ground_truth, meter = prepare_ground_truth(recordings, classes, protocol), EnergyMeter(detector)
    runs = [
        LabelledRun(recording, ground_truth.times_us(source)) for source, recording in enumerate(recordings)
    ]
    detections: list[list[PropheseeBoxes]] = [[] for _ in recordings]
    false_boxes = 0
    for step in RUNNERS[state](detector, runs, window_spec, batch):
        meter.add(step.out)
        for source, label_us, logits in step.completed:
            if label_us in ground_truth.empty_us[source]:
                false_boxes += len(detector.postprocess(logits, ground_truth.sensor_sizes[source], label_us))
            at_label = detector.postprocess(
                logits, ground_truth.sensor_sizes[source], label_us, selection.confidence, selection.iou
            )
            detections[source].append(to_prophesee(at_label))
        progress(step.runs_done / len(recordings))
    # each label has its own detections: pooled ones of neighbouring labels would be false positives
    images = pair_images(ground_truth, [concat_prophesee(parts) for parts in detections], classes, pool_us=0)
    cost = compute_cost(meter, window_spec.slices)
    moments = sum(map(len, ground_truth.empty_us))
    window_us = window_spec.slices * window_spec.slice_us
    return Evaluation(
        compute_score(images, classes.names),
        len(recordings),
        images,
        cost,
        ground_truth.protocol,
        FalseBoxes(false_boxes, moments, window_us, DEFAULT_CONFIDENCE) if moments else None,
    )


def evaluate_boxes(
    ground_truth: PreparedGroundTruth, detections: Sequence[PropheseeBoxes], classes: ClassMap
) -> Evaluation:
    """Score the detections of another system.

    Args:
        ground_truth: ground truth of recordings.
        detections: detections of each of these recordings, in order of time.
        classes: scored classes.

    Raises:
        DatasetError: there are detections, but none near a label.
    """
    images = pair_images(ground_truth, detections, classes, ground_truth.protocol.pool_us)
    if any(map(len, detections)) and not any(len(image.detections) for image in images):
        pool_ms = ground_truth.protocol.pool_us / 1000
        raise DatasetError(
            f"none of {sum(map(len, detections))} detections is scored: expected times in microseconds of "
            f"the recording, within {pool_ms:g} ms of a label, and boxes in pixels that pass "
            f"{ground_truth.protocol.box_filter}"
        )
    return Evaluation(
        compute_score(images, classes.names), len(detections), images, None, ground_truth.protocol
    )


def evaluate_images(
    detector: Detector,
    images: CocoImages,
    slices: int,
    selection: BoxSelection,
    read_image: ReadImage,
    progress: ProgressCallback = _no_progress,
    batch: int = 1,
) -> Evaluation:
    """Score a detector on images, each from the initial state.

    Args:
        detector: detector with weights for images.
        images: a split.
        slices: T.
        selection: selection of the scored boxes.
        read_image: reads an image file as red, green, blue, uint8 [H,W,3].
        progress: called with the share that is done.
        batch: images in one batch.

    Raises:
        DatasetError: there are no images, or an image or the classes do not match the annotations.
        ConfigError: the weights take events.
    """
    spec = detector.spec
    check_images(images, spec)
    meter = EnergyMeter(detector)
    scored: list[ScoredImage] = []
    for start in range(0, len(images.images), batch):
        group = images.images[start : start + batch]
        frames = torch.stack([_read_frame(image, read_image, detector) for image in group])
        outputs = detector.run_window(torch.stack([frames] * slices))
        meter.add_all(outputs)
        for row, image in enumerate(group):
            logits, size = [select_sample(out.logits, row) for out in outputs], (image.width, image.height)
            detections = detector.postprocess(logits, size, 0, selection.confidence, selection.iou)
            scored.append(ScoredImage(start + row, 0, image.ground_truth, detections))
        progress(len(scored) / len(images.images))
    score = compute_score(scored, spec.class_names)
    return Evaluation(score, len(scored), tuple(scored), compute_cost(meter, slices), None)


def _read_frame(labelled: LabelledImage, read_image: ReadImage, detector: Detector) -> Tensor:
    """Read an image and convert it to network input [P,h,w]."""
    image = read_labelled_image(labelled, read_image)
    letterbox = Letterbox.fit(labelled.width, labelled.height, detector.spec)
    return torch.from_numpy(preprocess(image.transpose(2, 0, 1), letterbox, detector.spec))


def evaluate_image_boxes(images: CocoImages, detections: Mapping[int, Detections]) -> Evaluation:
    """Score the detections of another system in images.

    Args:
        images: a split.
        detections: image id -> detections, with contiguous class ids.
    """
    no_detections = from_prophesee(np.zeros(0, BBOX_DTYPE), 0)
    scored = tuple(
        ScoredImage(index, 0, image.ground_truth, detections.get(image.image_id, no_detections))
        for index, image in enumerate(images.images)
    )
    return Evaluation(compute_score(scored, images.class_names), len(scored), scored, None, None)
