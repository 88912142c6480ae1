"""Prophesee's data sets, Gen1 and 1 Megapixel: `test/*_td.dat` or `*.h5`, with `*_bbox.npy` next to each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.open import open_recording
from spikewatch.ingest.recording import Recording
from spikewatch.model.errors import DatasetError
from spikewatch.model.prophesee_boxes import PropheseeBoxes
from spikewatch.model.training.datasets.class_map import ClassMap
from spikewatch.model.training.datasets.labelled_recording import (
    LabelledFrame,
    add_ignore_regions,
    filter_boxes,
    frames_from_boxes,
)
from spikewatch.model.training.datasets.prophesee_labels import read_labels, read_times
from spikewatch.model.training.datasets.protocol import EvaluationProtocol
from spikewatch.model.training.datasets.training_labels import IGNORE_CLASS_ID, TrainingLabels

LABELS_SUFFIX = "_bbox.npy"

TIMES_SUFFIX = "_times.npy"
"""Suffix of an optional file beside the labels: all labelled times in microseconds, with or without boxes."""

IGNORE_SUFFIX = "_ignore.npy"
"""Suffix of an optional file beside the labels: ignore regions, in the format of the labels."""

MAX_CLASSES = 1 << 32
"""Number of class ids that the format can store."""

RECORDING_SUFFIXES = tuple(middle + end for middle in ("_td", "") for end in (".dat", ".raw", ".h5", ".hdf5"))
"""Suffixes of recordings; the labels have LABELS_SUFFIX instead."""


@dataclass(frozen=True, slots=True)
class PropheseeRecording:
    """`LabelledRecording` in Prophesee's format: paths of the events and of the labels."""

    events: Path
    labels: Path

    @property
    def sensor_size(self) -> None:
        """None, because the recording contains the sensor size."""

    def open(self) -> Recording:
        """Open the recording.

        Raises:
            DatasetError: the recording does not contain the sensor size.
            IngestError: the file is no recording.
        """
        recording = open_recording(self.events)
        if recording.width is None or recording.height is None:
            recording.close()
            raise DatasetError(
                f"{self.events}: the header has no sensor size, expected width and height in pixels"
            )
        return recording

    def labelled_frames(
        self, sensor_size: tuple[int, int], protocol: EvaluationProtocol, classes: ClassMap
    ) -> list[LabelledFrame]:
        """See `LabelledRecording.labelled_frames`; times without scored labels are dropped."""
        boxes = read_labels(self.labels, len(classes.label_to_index))
        frames = frames_from_boxes(filter_boxes(boxes, sensor_size, protocol, classes.label_to_index))
        ignored = self._ignore_regions(len(classes.label_to_index))
        return frames if ignored is None else add_ignore_regions(frames, ignored, sensor_size, classes)

    def training_labels(self, classes: int) -> TrainingLabels:
        """See `LabelledRecording.training_labels`; times without boxes are labelled if a file lists them."""
        boxes, ignored = read_labels(self.labels, classes), self._ignore_regions(classes)
        times_us = np.union1d(boxes["t"], self._listed_times())
        if ignored is not None:
            ignored["class_id"] = IGNORE_CLASS_ID
            boxes = np.concatenate([boxes, ignored[np.isin(ignored["t"], times_us)]])
            boxes = boxes[np.argsort(boxes["t"], kind="stable")]
        return TrainingLabels(times_us, boxes)

    def empty_times_us(self) -> list[int]:
        """See `LabelledRecording.empty_times_us`; none without a file of times."""
        times_us = self._listed_times()
        if not len(times_us):
            return []
        occupied = set(read_labels(self.labels, MAX_CLASSES)["t"].tolist())
        ignored = self._ignore_regions(MAX_CLASSES)
        occupied |= set() if ignored is None else set(ignored["t"].tolist())
        return [t_us for t_us in times_us.tolist() if t_us not in occupied]

    def _listed_times(self) -> NDArray[np.int64]:
        path = self._beside(TIMES_SUFFIX)
        return read_times(path) if path.is_file() else np.zeros(0, np.int64)

    def _ignore_regions(self, classes: int) -> PropheseeBoxes | None:
        path = self._beside(IGNORE_SUFFIX)
        return read_labels(path, classes) if path.is_file() else None

    def _beside(self, suffix: str) -> Path:
        return self.labels.with_name(self.labels.name.removesuffix(LABELS_SUFFIX) + suffix)


def recording_stem(name: str) -> str:
    """Return a file name without its recording suffix, the common name of labels and detections."""
    return name.removesuffix(next((suffix for suffix in RECORDING_SUFFIXES if name.endswith(suffix)), ""))


def _event_files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.glob("*") if path.name.endswith(RECORDING_SUFFIXES) and path.is_file()
    )


def has_recordings(folder: Path) -> bool:
    """Return whether the folder contains recordings, directly or one level below."""
    return bool(_event_files(folder)) or any(
        _event_files(child) for child in folder.iterdir() if child.is_dir()
    )


def split_folder(folder: Path, split: str = "test") -> Path:
    """Return the folder of a split: `folder` itself if it contains recordings directly."""
    return folder if _event_files(folder) else folder / split


def find_recordings(folder: Path, split: str = "test") -> tuple[PropheseeRecording, ...]:
    """Return the recordings of a split in order of name; those of the folder itself if it has any.

    Raises:
        DatasetError: there are no recordings, labels are missing, or two recordings share their labels.
    """
    source = split_folder(folder, split)
    events = _event_files(source)
    if not events:
        splits = sorted(child.name for child in folder.iterdir() if child.is_dir() and _event_files(child))
        raise DatasetError(f"{source}: no recordings; splits here: {', '.join(splits) or 'none'}")
    recordings = [
        PropheseeRecording(path, path.with_name(recording_stem(path.name) + LABELS_SUFFIX)) for path in events
    ]
    missing = [recording.labels for recording in recordings if not recording.labels.is_file()]
    if missing:
        raise DatasetError(
            f"{missing[0]}: missing; {len(missing)} of {len(recordings)} recordings have no labels"
        )
    by_labels = {recording.labels: recording.events.name for recording in recordings}
    for recording in recordings:
        if by_labels[recording.labels] != recording.events.name:
            names = f"{recording.events.name} and {by_labels[recording.labels]}"
            raise DatasetError(f"{source}: {names} share {recording.labels.name}; keep one of them")
    return tuple(recordings)
