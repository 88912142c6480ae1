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
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes, from_prophesee, to_prophesee
from spikewatch.model.training.datasets.class_map import ClassMap, identity_map
from spikewatch.model.training.datasets.coco_images import CocoImages, LabelledImage
from spikewatch.model.training.datasets.labelled_recording import LabelledRecording
from spikewatch.model.training.datasets.protocol import EvaluationProtocol
from spikewatch.model.training.datasets.window_bounds import WindowSpec
from spikewatch.model.training.evaluation.box_selection import BoxSelection
from spikewatch.model.training.evaluation.evaluation import (
    Evaluation,
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
ReadImage = Callable[[Path], NDArray[np.uint8]]

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
    """Score a detector on recordings, by Prophesee's protocol unless told otherwise. Prints nothing.

    Args:
        detector: with weights for events, its network in evaluation mode.
        recordings: a split, or a few of it; at most `batch` are open at a time, and only boxes are kept.
        window_spec: the window before a label; None for the weights' own.
        state: `reset` or `carry`, see `model.training.windows`.
        selection: of boxes.
        progress: called with the share done.
        protocol: which boxes count; None for those of the sensor.
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
    window_spec = window_spec or WindowSpec(spec.slices, spec.slice_us)
    classes = classes or identity_map(spec.class_names)
    truth, meter = prepare_ground_truth(recordings, classes, protocol), EnergyMeter(detector)
    jobs = [
        LabelledRun(each, [moment.t_us for moment in some])
        for each, some in zip(recordings, truth.frames, strict=True)
    ]
    found: list[list[PropheseeBoxes]] = [[] for _ in recordings]
    for ran in RUNNERS[state](detector, jobs, window_spec, batch):
        meter.add(ran.out)
        for source, label_us, logits in ran.completed:
            at_label = detector.postprocess(
                logits, truth.sensor_sizes[source], label_us, selection.confidence, selection.iou
            )
            found[source].append(to_prophesee(at_label))
        progress(ran.runs_done / len(recordings))
    # one set of boxes for each label: those of its neighbours, pooled in, would count as false
    images = pair_images(truth, [concat_prophesee(parts) for parts in found], classes, pool_us=0)
    cost = compute_cost(meter, window_spec.slices)
    return Evaluation(compute_score(images, classes.names), len(recordings), images, cost, truth.protocol)


def evaluate_boxes(
    ground_truth: PreparedGroundTruth, detections: Sequence[PropheseeBoxes], classes: ClassMap
) -> Evaluation:
    """Score boxes from elsewhere.

    Args:
        ground_truth: of some recordings.
        detections: of the same, each in order of time.
        classes: that are scored.

    Raises:
        DatasetError: there are boxes, but none near any label.
    """
    images = pair_images(ground_truth, detections, classes, ground_truth.protocol.pool_us)
    if any(map(len, detections)) and not any(len(image.detections) for image in images):
        pool_ms = ground_truth.protocol.pool_us / 1000
        raise DatasetError(
            f"of {sum(map(len, detections))} detections none counts: times are in microseconds of the "
            "recording, "
            f"within {pool_ms:g} ms of a label's; boxes are in pixels, filtered by "
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
    """Score pictures, each from rest.

    Args:
        detector: with weights for pictures.
        images: a split.
        slices: T.
        selection: of boxes.
        read_image: red, green, blue, uint8 [H,W,3] from a file.
        progress: called with the share done.
        batch: pictures in one batch.

    Raises:
        DatasetError: there are no pictures, a picture is not what the annotations say, or has other classes.
        ConfigError: the weights look at events.
    """
    spec = detector.spec
    if not images.images:
        raise DatasetError("the annotations name no pictures")
    spec.check_input(events=False, name=images.images[0].path.name)
    if len(images.class_names) != len(spec.class_names):
        given, known = len(images.class_names), len(spec.class_names)
        raise DatasetError(f"the annotations have {given} classes, but {spec.name} knows {known}")
    meter = EnergyMeter(detector)
    scored: list[ScoredImage] = []
    for start in range(0, len(images.images), batch):
        some = images.images[start : start + batch]
        frames = torch.stack([_read_frame(each, read_image, detector) for each in some])
        outputs = detector.run_window(torch.stack([frames] * slices))
        meter.add_all(outputs)
        for row, each in enumerate(some):
            logits, size = [select_sample(out.logits, row) for out in outputs], (each.width, each.height)
            found = detector.postprocess(logits, size, 0, selection.confidence, selection.iou)
            scored.append(ScoredImage(start + row, 0, each.ground_truth, found))
        progress(len(scored) / len(images.images))
    score = compute_score(scored, spec.class_names)
    return Evaluation(score, len(scored), tuple(scored), compute_cost(meter, slices), None)


def _read_frame(labelled: LabelledImage, read_image: ReadImage, detector: Detector) -> Tensor:
    """Network input [P,h,w]."""
    picture = read_image(labelled.path)
    height, width = picture.shape[:2]
    if (width, height) != (labelled.width, labelled.height):
        raise DatasetError(
            f"{labelled.path}: {width}x{height}, but {labelled.width}x{labelled.height} by its annotations"
        )
    box = Letterbox.fit(width, height, detector.spec)
    return preprocess(picture.transpose(2, 0, 1), box, detector.spec)


def evaluate_image_boxes(images: CocoImages, detections: Mapping[int, Detections]) -> Evaluation:
    """Score boxes in pictures from elsewhere; detections: image id -> boxes, with contiguous class ids."""
    nothing = from_prophesee(np.zeros(0, BBOX_DTYPE), 0)
    scored = tuple(
        ScoredImage(index, 0, each.ground_truth, detections.get(each.image_id, nothing))
        for index, each in enumerate(images.images)
    )
    return Evaluation(compute_score(scored, images.class_names), len(scored), scored, None, None)
