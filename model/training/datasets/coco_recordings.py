"""Boxes in COCO's format on recordings: each image names a recording and a time.

    {"categories": [{"id": 1, "name": "car"}],
     "images": [{"id": 7, "file_name": "street_td.dat", "t_us": 750000}],
     "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [x, y, w, h]}]}

`file_name` is relative to the file. Times are microseconds of the recording, `t_us` or `timestamp`. An image
without annotations counts: what is found there is wrong. `width` and `height` of an image are those of the
sensor, needed where the recording does not name them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikewatch.ingest.open import open_recording
from spikewatch.ingest.recording import Recording
from spikewatch.model.errors import DatasetError
from spikewatch.model.training.datasets.class_map import IGNORED_CLASS, ClassMap, remap_ids
from spikewatch.model.training.datasets.coco_images import (
    Categories,
    ground_truth_by_image,
    parse_annotations,
)
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.datasets.labelled_recording import LabelledFrame
from spikewatch.model.training.datasets.prophesee_labels import MAX_TIME_US, check_class_ids, crop_xywh
from spikewatch.model.training.datasets.protocol import EvaluationProtocol
from spikewatch.model.training.datasets.training_labels import TrainingLabels

TIME_FIELDS = ("t_us", "timestamp")


@dataclass(frozen=True, slots=True)
class AnnotatedRecording:
    """A recording, its annotated times in order, and its sensor's size, if it is given; a `Labelled`."""

    events: Path
    sensor_size: tuple[int, int] | None
    frames: tuple[LabelledFrame, ...]

    def open(self) -> Recording:
        """Open the events.

        Raises:
            DatasetError: neither the file nor the annotations name the sensor's size.
            IngestError: it is no recording, or of another size.
        """
        recording = open_recording(self.events, *(self.sensor_size or ()))
        if recording.width is None or recording.height is None:
            recording.close()
            raise DatasetError(f"{self.events}: names no sensor size; give width and height of its images")
        return recording

    def labelled_frames(
        self, sensor_size: tuple[int, int], protocol: EvaluationProtocol, classes: ClassMap
    ) -> list[LabelledFrame]:
        """See `Labelled.moments`; an image where nothing counts is kept, with nothing to be found."""
        return [
            LabelledFrame(
                each.t_us,
                _filter_ground_truth(each.ground_truth, sensor_size, protocol, classes),
                each.image_id,
            )
            for each in self.frames
            if each.t_us > protocol.box_filter.after_us
        ]

    def training_labels(self, classes: int) -> TrainingLabels:
        """See `Labelled.taught`; crowds are not, and in an image without boxes nothing is there."""
        boxes = np.concatenate(
            [
                each.ground_truth.select(~each.ground_truth.crowd).to_prophesee(each.t_us)
                for each in self.frames
            ]
        )
        check_class_ids(self.events, boxes, classes)
        return TrainingLabels(np.array([each.t_us for each in self.frames], np.int64), boxes)


def _filter_ground_truth(
    ground_truth: GroundTruth, sensor_size: tuple[int, int], protocol: EvaluationProtocol, classes: ClassMap
) -> GroundTruth:
    """Cut off at the border, and the boxes that count; an area that was given stays."""
    xywh = crop_xywh(ground_truth.xywh, *sensor_size)
    w, h = xywh[:, 2], xywh[:, 3]
    class_id = remap_ids(ground_truth.class_id, classes.label_to_index)
    boxes_area = ground_truth.xywh[:, 2] * ground_truth.xywh[:, 3]
    area = np.where(ground_truth.area == boxes_area, w * h, ground_truth.area)
    kept = (w > 0) & (h > 0) & protocol.box_filter.large_enough(w, h) & (class_id != IGNORED_CLASS)
    return GroundTruth(xywh, class_id, area, ground_truth.crowd).select(kept)


@dataclass(frozen=True, slots=True)
class CocoRecordings:
    """An annotations file: its classes, and its recordings in the order of their first image's id."""

    categories: Categories
    recordings: tuple[AnnotatedRecording, ...]


def read_coco_recordings(path: Path) -> CocoRecordings:
    """Read the annotations; recordings are only looked for.

    Raises:
        DatasetError: the file is damaged, names the same time twice, or recordings are missing.
        OSError: it cannot be read.
    """
    return parse_annotations(path, lambda data: _parse_recordings(data, path))


def has_times(data: dict[str, Any]) -> bool:
    """Whether images of an annotations file are times of recordings, not pictures."""
    return any(field in image for image in data["images"] for field in TIME_FIELDS)


def _parse_recordings(data: dict[str, Any], path: Path) -> CocoRecordings:
    categories = Categories.from_annotations(data)
    truth = ground_truth_by_image(data, categories)
    by_file: dict[str, list[dict[str, Any]]] = {}
    for image in sorted(data["images"], key=lambda image: int(image["id"])):
        by_file.setdefault(str(image["file_name"]), []).append(image)
    recordings = []
    for name, images in by_file.items():
        moments = [
            LabelledFrame(_image_time_us(each, path), truth(int(each["id"])), int(each["id"]))
            for each in images
        ]
        moments.sort(key=lambda moment: moment.t_us)
        if len({moment.t_us for moment in moments}) < len(moments):
            raise DatasetError(f"{path}: two images of {name} have the same time")
        sizes = {(int(each["width"]), int(each["height"])) for each in images if "width" in each}
        if len(sizes) > 1:
            raise DatasetError(f"{path}: images of {name} differ in size: {sorted(sizes)}")
        recordings.append(AnnotatedRecording(path.parent / name, next(iter(sizes), None), tuple(moments)))
    missing = [each.events for each in recordings if not each.events.is_file()]
    if missing or not recordings:
        raise DatasetError(
            f"{missing[0]}: missing; {len(missing)} of {len(recordings)} recordings are not there"
            if missing
            else f"{path}: names no images"
        )
    return CocoRecordings(categories, tuple(recordings))


def _image_time_us(image: dict[str, Any], path: Path) -> int:
    name = next((field for field in TIME_FIELDS if field in image), None)
    if name is None:
        raise DatasetError(
            f"{path}: image {image['id']}: no time; expected {' or '.join(TIME_FIELDS)} in microseconds "
            "(for pictures, name the folder that holds annotations/)"
        )
    t_us = int(image[name])
    if t_us != image[name] or abs(t_us) > MAX_TIME_US:
        raise DatasetError(
            f"{path}: image {image['id']}: {name} is {image[name]!r}, expected whole microseconds"
        )
    return t_us
