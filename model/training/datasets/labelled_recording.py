"""Labelled recording: interface of a recording with ground truth, and the frames that are scored."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from spikewatch.ingest.recording import Recording
from spikewatch.model.detections import Detections
from spikewatch.model.prophesee_boxes import PropheseeBoxes, from_prophesee
from spikewatch.model.training.datasets.class_map import IGNORED_CLASS, ClassMap, remap_ids
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.datasets.prophesee_labels import crop_boxes
from spikewatch.model.training.datasets.protocol import EvaluationProtocol
from spikewatch.model.training.datasets.training_labels import TrainingLabels


@dataclass(frozen=True, slots=True)
class LabelledFrame:
    """One labelled time of a recording.

    Attributes:
        t_us: time of the labels.
        ground_truth: labelled objects.
        image_id: id of the image in COCO annotations, or None.
    """

    t_us: int
    ground_truth: GroundTruth
    image_id: int | None = None


class LabelledRecording(Protocol):
    """Recording with ground truth, in any data set format. Picklable."""

    @property
    def events(self) -> Path:
        """Path of the recording."""

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """Width and height of the sensor in pixels, if the labels contain them."""

    def open(self) -> Recording:
        """Open the recording.

        Raises:
            DatasetError: the sensor size is unknown.
            IngestError: the file is no recording.
        """

    def labelled_frames(
        self, sensor_size: tuple[int, int], protocol: EvaluationProtocol, classes: ClassMap
    ) -> list[LabelledFrame]:
        """Return the frames to score, in strictly ascending order of time.

        Args:
            sensor_size: width and height in pixels; boxes are clipped to it.
            protocol: selects the boxes that are scored.
            classes: scored classes; `GroundTruth.class_id` of the result is an index in its names.

        Raises:
            DatasetError: the labels are damaged.
        """

    def empty_times_us(self) -> Iterable[int]:
        """Return the labelled times without a box or an ignore region, ascending.

        Raises:
            DatasetError: the labels are damaged.
        """

    def training_labels(self, classes: int) -> TrainingLabels:
        """Return the labels for training.

        Raises:
            DatasetError: the labels are damaged, or have class ids of `classes` or above.
        """


def frames_from_boxes(labels: PropheseeBoxes) -> list[LabelledFrame]:
    """Group the labels of one recording, in order of time, into one frame for each time."""
    times, starts = np.unique(labels["t"], return_index=True)
    groups = np.split(labels, starts[1:]) if len(labels) else []
    return [
        LabelledFrame(t_us, GroundTruth.from_prophesee(boxes))
        for t_us, boxes in zip(times.tolist(), groups, strict=True)
    ]


def add_ignore_regions(
    frames: Sequence[LabelledFrame], regions: PropheseeBoxes, sensor_size: tuple[int, int], classes: ClassMap
) -> list[LabelledFrame]:
    """Add ignore regions, as crowds, to the frames of their times; they are clipped, but not filtered."""
    regions = crop_boxes(regions, *sensor_size)
    indices = remap_ids(regions["class_id"], classes.label_to_index)
    regions, indices = regions[indices != IGNORED_CLASS], indices[indices != IGNORED_CLASS]
    regions["class_id"] = indices
    result = []
    for frame in frames:
        first, last = np.searchsorted(regions["t"], (frame.t_us, frame.t_us + 1))
        crowds = GroundTruth.from_prophesee(regions[first:last], crowd=True)
        result.append(replace(frame, ground_truth=frame.ground_truth.concat(crowds)))
    return result


def filter_boxes(
    boxes: PropheseeBoxes, sensor_size: tuple[int, int], protocol: EvaluationProtocol, table: Sequence[int]
) -> PropheseeBoxes:
    """Select the scored boxes, clipped to the sensor and with class ids remapped by a table of a `ClassMap`.

    Boxes are clipped before their size is checked, so a box with a small visible part is dropped.
    """
    kept = protocol.box_filter.apply(crop_boxes(boxes, *sensor_size))
    indices = remap_ids(kept["class_id"], table)
    scored: PropheseeBoxes = kept[indices != IGNORED_CLASS]
    scored["class_id"] = indices[indices != IGNORED_CLASS]
    return scored


def pool_detections(
    frames: Sequence[LabelledFrame], detections: PropheseeBoxes, pool_us: int
) -> Iterator[Detections]:
    """Yield the detections near each frame; a detection may be near several frames.

    Args:
        frames: frames of one recording.
        detections: filtered detections of the same recording, in order of time.
        pool_us: maximum distance in time, inclusive.
    """
    for frame in frames:
        bounds = (frame.t_us - pool_us, frame.t_us + pool_us + 1)
        first, last = np.searchsorted(detections["t"], bounds)
        yield from_prophesee(detections[first:last], frame.t_us)
