"""The times of a recording that are scored: what is to be found at each, and what was found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    """A time, and the objects labelled there; image_id: its number in a data set of COCO's layout."""

    t_us: int
    ground_truth: GroundTruth
    image_id: int | None = None


class LabelledRecording(Protocol):
    """A recording with ground truth, in whatever layout; can be pickled."""

    @property
    def events(self) -> Path:
        """Where the events are."""

    @property
    def sensor_size(self) -> tuple[int, int] | None:
        """Width and height of the sensor in pixels, where the labels name them."""

    def open(self) -> Recording:
        """Open the events.

        Raises:
            DatasetError: the size of the sensor is unknown.
            IngestError: the file is no recording.
        """

    def labelled_frames(
        self, sensor_size: tuple[int, int], protocol: EvaluationProtocol, classes: ClassMap
    ) -> list[LabelledFrame]:
        """The times to score in ascending order, all different.

        Args:
            sensor_size: width and height in pixels; boxes are cut off there.
            protocol: which boxes count.
            classes: that are scored; `Truth.class_id` counts in its names.

        Raises:
            DatasetError: the labels are damaged.
        """

    def training_labels(self, classes: int) -> TrainingLabels:
        """What to learn.

        Raises:
            DatasetError: the labels are damaged, or of more classes than are known.
        """


def frames_from_boxes(labels: PropheseeBoxes) -> list[LabelledFrame]:
    """One for each time that has labels; labels of one recording in order of time."""
    times, starts = np.unique(labels["t"], return_index=True)
    parts = np.split(labels, starts[1:]) if len(labels) else []
    return [
        LabelledFrame(t_us, GroundTruth.from_prophesee(part))
        for t_us, part in zip(times.tolist(), parts, strict=True)
    ]


def filter_boxes(
    boxes: PropheseeBoxes, sensor_size: tuple[int, int], protocol: EvaluationProtocol, table: Sequence[int]
) -> PropheseeBoxes:
    """The boxes that count, cut off at the border and renumbered by a table of a `ClassMap`.

    Cut first, then measured: a box of which little is to be seen does not count.
    """
    kept = protocol.box_filter.apply(crop_boxes(boxes, *sensor_size))
    numbers = remap_ids(kept["class_id"], table)
    scored: PropheseeBoxes = kept[numbers != IGNORED_CLASS]
    scored["class_id"] = numbers[numbers != IGNORED_CLASS]
    return scored


def pool_detections(
    frames: Sequence[LabelledFrame], detections: PropheseeBoxes, pool_us: int
) -> Iterator[Detections]:
    """All detections near each moment; they may be near several.

    Args:
        frames: of one recording.
        detections: the same, already filtered, in order of time.
        pool_us: how near, inclusive.
    """
    for moment in frames:
        near = (moment.t_us - pool_us, moment.t_us + pool_us + 1)
        first, last = np.searchsorted(detections["t"], near)
        yield from_prophesee(detections[first:last], moment.t_us)
