"""The times of a recording that are scored: what is to be found at each, and what was found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from spikewatch.ingest.recording import Recording
from spikewatch.model.detections import Detections
from spikewatch.model.prophesee_boxes import Boxes, to_detections
from spikewatch.model.training.datasets.class_map import LEFT_OUT, ClassMap, renumbered
from spikewatch.model.training.datasets.ground_truth import Truth
from spikewatch.model.training.datasets.prophesee_labels import crop
from spikewatch.model.training.datasets.protocol import Rules
from spikewatch.model.training.datasets.training_labels import Taught


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, and the objects labelled there; image_id: its number in a data set of COCO's layout."""

    t_us: int
    truth: Truth
    image_id: int | None = None


class Labelled(Protocol):
    """A recording with ground truth, in whatever layout; can be pickled."""

    @property
    def events(self) -> Path:
        """Where the events are."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the sensor in pixels, where the labels name them."""

    def open(self) -> Recording:
        """Open the events.

        Raises:
            DatasetError: the size of the sensor is unknown.
            IngestError: the file is no recording.
        """

    def moments(self, sensor: tuple[int, int], rules: Rules, classes: ClassMap) -> list[Moment]:
        """The times to score in ascending order, all different.

        Args:
            sensor: width and height in pixels; boxes are cut off there.
            rules: which boxes count.
            classes: that are scored; `Truth.class_id` counts in its names.

        Raises:
            DatasetError: the labels are damaged.
        """

    def taught(self, classes: int) -> Taught:
        """What to learn.

        Raises:
            DatasetError: the labels are damaged, or of more classes than are known.
        """


def moments_of(labels: Boxes) -> list[Moment]:
    """One for each time that has labels; labels of one recording in order of time."""
    times, starts = np.unique(labels["t"], return_index=True)
    parts = np.split(labels, starts[1:]) if len(labels) else []
    return [Moment(t_us, Truth.of_boxes(part)) for t_us, part in zip(times.tolist(), parts, strict=True)]


def counted(boxes: Boxes, sensor: tuple[int, int], rules: Rules, table: Sequence[int]) -> Boxes:
    """The boxes that count, cut off at the border and renumbered by a table of a `ClassMap`.

    Cut first, then measured: a box of which little is to be seen does not count.
    """
    kept = rules.keep.apply(crop(boxes, *sensor))
    numbers = renumbered(kept["class_id"], table)
    scored: Boxes = kept[numbers != LEFT_OUT]
    scored["class_id"] = numbers[numbers != LEFT_OUT]
    return scored


def pooled(moments: Sequence[Moment], found: Boxes, pool_us: int) -> Iterator[Detections]:
    """All detections near each moment; they may be near several.

    Args:
        moments: of one recording.
        found: the same, already filtered, in order of time.
        pool_us: how near, inclusive.
    """
    for moment in moments:
        near = (moment.t_us - pool_us, moment.t_us + pool_us + 1)
        first, last = np.searchsorted(found["t"], near)
        yield to_detections(found[first:last], moment.t_us)
