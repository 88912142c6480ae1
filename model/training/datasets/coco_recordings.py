"""COCO annotations for recordings: each image is one time of a recording.

    {"categories": [{"id": 1, "name": "car"}],
     "images": [{"id": 7, "file_name": "street_td.dat", "t_us": 750000}],
     "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [x, y, w, h]}]}

`file_name` is relative to the file. Times are in microseconds of the recording, as `t_us` or `timestamp`. An
image without annotations is scored: every detection in it is a false positive. `width` and `height` of an
image are the sensor size, which is required if the recording does not contain it.
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
from spikewatch.model.training.datasets.training_labels import IGNORE_CLASS_ID, TrainingLabels

TIME_FIELDS = ("t_us", "timestamp")


@dataclass(frozen=True, slots=True)
class AnnotatedRecording:
    """`LabelledRecording` with COCO annotations.

    Attributes:
        events: path of the recording.
        sensor_size: width and height of the sensor in pixels, if the annotations contain them.
        frames: annotated times in ascending order.
    """

    events: Path
    sensor_size: tuple[int, int] | None
    frames: tuple[LabelledFrame, ...]

    def open(self) -> Recording:
        """Open the recording.

        Raises:
            DatasetError: neither the recording nor the annotations contain the sensor size.
            IngestError: the file is no recording, or the sensor sizes differ.
        """
        recording = open_recording(self.events, *(self.sensor_size or ()))
        if recording.width is None or recording.height is None:
            recording.close()
            raise DatasetError(
                f"{self.events}: the sensor size is unknown; add width and height to its images"
            )
        return recording

    def labelled_frames(
        self, sensor_size: tuple[int, int], protocol: EvaluationProtocol, classes: ClassMap
    ) -> list[LabelledFrame]:
        """See `LabelledRecording.labelled_frames`; images without scored boxes are kept, as empty."""
        return [
            LabelledFrame(
                frame.t_us,
                _filter_ground_truth(frame.ground_truth, sensor_size, protocol, classes),
                frame.image_id,
            )
            for frame in self.frames
            if frame.t_us > protocol.box_filter.after_us
        ]

    def empty_times_us(self) -> list[int]:
        """See `LabelledRecording.empty_times_us`."""
        return [frame.t_us for frame in self.frames if not len(frame.ground_truth)]

    def training_labels(self, classes: int) -> TrainingLabels:
        """See `LabelledRecording.training_labels`; crowds are ignore regions, empty images are negatives."""
        boxes = np.concatenate([frame.ground_truth.to_prophesee(frame.t_us) for frame in self.frames])
        crowd = np.concatenate([frame.ground_truth.crowd for frame in self.frames])
        check_class_ids(self.events, boxes[~crowd], classes)
        boxes["class_id"][crowd] = IGNORE_CLASS_ID
        return TrainingLabels(np.array([frame.t_us for frame in self.frames], np.int64), boxes)


def _filter_ground_truth(
    ground_truth: GroundTruth, sensor_size: tuple[int, int], protocol: EvaluationProtocol, classes: ClassMap
) -> GroundTruth:
    """Clip boxes to the sensor and select the scored ones; explicit areas do not change."""
    xywh = crop_xywh(ground_truth.xywh, *sensor_size)
    w, h = xywh[:, 2], xywh[:, 3]
    class_id = remap_ids(ground_truth.class_id, classes.label_to_index)
    boxes_area = ground_truth.xywh[:, 2] * ground_truth.xywh[:, 3]
    area = np.where(ground_truth.area == boxes_area, w * h, ground_truth.area)
    kept = (w > 0) & (h > 0) & protocol.box_filter.large_enough(w, h) & (class_id != IGNORED_CLASS)
    return GroundTruth(xywh, class_id, area, ground_truth.crowd).select(kept)


@dataclass(frozen=True, slots=True)
class CocoRecordings:
    """Annotations file: its categories, and its recordings in the order of the first image id of each."""

    categories: Categories
    recordings: tuple[AnnotatedRecording, ...]


def read_coco_recordings(path: Path) -> CocoRecordings:
    """Read the annotations, and check that the recordings exist.

    Raises:
        DatasetError: the file is damaged, a time occurs twice, or recordings are missing.
        OSError: the file cannot be read.
    """
    return parse_annotations(path, lambda data: _parse_recordings(data, path))


def has_times(data: dict[str, Any]) -> bool:
    """Return whether the images of an annotations file are times of recordings, not image files."""
    return any(field in image for image in data["images"] for field in TIME_FIELDS)


def _parse_recordings(data: dict[str, Any], path: Path) -> CocoRecordings:
    categories = Categories.from_annotations(data)
    ground_truth_of = ground_truth_by_image(data, categories)
    by_file: dict[str, list[dict[str, Any]]] = {}
    for image in sorted(data["images"], key=lambda image: int(image["id"])):
        by_file.setdefault(str(image["file_name"]), []).append(image)
    recordings = []
    for name, images in by_file.items():
        frames = [
            LabelledFrame(_image_time_us(image, path), ground_truth_of(int(image["id"])), int(image["id"]))
            for image in images
        ]
        frames.sort(key=lambda frame: frame.t_us)
        if len({frame.t_us for frame in frames}) < len(frames):
            raise DatasetError(f"{path}: two images of {name} have the same time; expected different times")
        sizes = {(int(image["width"]), int(image["height"])) for image in images if "width" in image}
        if len(sizes) > 1:
            raise DatasetError(f"{path}: images of {name} differ in size: {sorted(sizes)}")
        recordings.append(AnnotatedRecording(path.parent / name, next(iter(sizes), None), tuple(frames)))
    missing = [recording.events for recording in recordings if not recording.events.is_file()]
    if missing or not recordings:
        raise DatasetError(
            f"{missing[0]}: missing; {len(missing)} of {len(recordings)} recordings are missing"
            if missing
            else f"{path}: names no images, expected at least one"
        )
    return CocoRecordings(categories, tuple(recordings))


def _image_time_us(image: dict[str, Any], path: Path) -> int:
    name = next((field for field in TIME_FIELDS if field in image), None)
    if name is None:
        raise DatasetError(
            f"{path}: image {image['id']}: no time; expected {' or '.join(TIME_FIELDS)} in microseconds "
            "(for image files, pass the folder that contains annotations/)"
        )
    t_us = int(image[name])
    if t_us != image[name] or abs(t_us) > MAX_TIME_US:
        raise DatasetError(
            f"{path}: image {image['id']}: {name} is {image[name]!r}, expected whole microseconds"
        )
    return t_us
