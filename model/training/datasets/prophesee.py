"""Prophesee's data sets, Gen1 and 1 Megapixel: `test/*_td.dat` or `*.h5`, each with `*_bbox.npy` beside."""

from dataclasses import dataclass
from pathlib import Path

from spikewatch.ingest.open import open_recording
from spikewatch.ingest.recording import Recording
from spikewatch.model.errors import DatasetError
from spikewatch.model.training.datasets.class_map import ClassMap
from spikewatch.model.training.datasets.labelled_recording import (
    LabelledFrame,
    filter_boxes,
    frames_from_boxes,
)
from spikewatch.model.training.datasets.prophesee_labels import read_labels
from spikewatch.model.training.datasets.protocol import EvaluationProtocol
from spikewatch.model.training.datasets.training_labels import TrainingLabels

LABELS_SUFFIX = "_bbox.npy"

RECORDING_SUFFIXES = tuple(middle + end for middle in ("_td", "") for end in (".dat", ".raw", ".h5", ".hdf5"))
"""How names of recordings may end; the labels' have LABELS instead."""


@dataclass(frozen=True, slots=True)
class PropheseeRecording:
    """Where the events and the labels of one recording are; a `Labelled`."""

    events: Path
    labels: Path

    @property
    def sensor_size(self) -> None:
        """Named by the events."""

    def open(self) -> Recording:
        """Open the events.

        Raises:
            DatasetError: the file does not name its sensor's size.
            IngestError: it is no recording.
        """
        recording = open_recording(self.events)
        if recording.width is None or recording.height is None:
            recording.close()
            raise DatasetError(f"{self.events}: its header does not name the size of the sensor")
        return recording

    def labelled_frames(
        self, sensor_size: tuple[int, int], protocol: EvaluationProtocol, classes: ClassMap
    ) -> list[LabelledFrame]:
        """See `Labelled.moments`; a time without any label that counts is none."""
        boxes = read_labels(self.labels, len(classes.label_to_index))
        return frames_from_boxes(filter_boxes(boxes, sensor_size, protocol, classes.label_to_index))

    def training_labels(self, classes: int) -> TrainingLabels:
        """See `Labelled.taught`."""
        return TrainingLabels.from_boxes(read_labels(self.labels, classes))


def recording_stem(name: str) -> str:
    """The name of a recording's file without its ending: what its labels and detections share with it."""
    return name.removesuffix(next((ending for ending in RECORDING_SUFFIXES if name.endswith(ending)), ""))


def _event_files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.glob("*") if path.name.endswith(RECORDING_SUFFIXES) and path.is_file()
    )


def has_recordings(folder: Path) -> bool:
    """True if the folder holds recordings itself or one level below."""
    return bool(_event_files(folder)) or any(
        _event_files(below) for below in folder.iterdir() if below.is_dir()
    )


def split_folder(folder: Path, split: str = "test") -> Path:
    """Where a split is: the folder itself where it holds recordings directly."""
    return folder if _event_files(folder) else folder / split


def find_recordings(folder: Path, split: str = "test") -> tuple[PropheseeRecording, ...]:
    """The recordings of a split, by name; of the folder itself where it holds recordings directly.

    Raises:
        DatasetError: there are none, one lacks its labels, or two would share them.
    """
    place = split_folder(folder, split)
    events = _event_files(place)
    if not events:
        splits = sorted(below.name for below in folder.iterdir() if below.is_dir() and _event_files(below))
        raise DatasetError(f"{place}: no recordings; splits here: {', '.join(splits) or 'none'}")
    found = [
        PropheseeRecording(path, path.with_name(recording_stem(path.name) + LABELS_SUFFIX)) for path in events
    ]
    missing = [each.labels for each in found if not each.labels.is_file()]
    if missing:
        raise DatasetError(f"{missing[0]}: missing; {len(missing)} of {len(found)} recordings have no labels")
    by_labels = {each.labels: each.events.name for each in found}
    for each in found:
        if by_labels[each.labels] != each.events.name:
            names = f"{each.events.name} and {by_labels[each.labels]}"
            raise DatasetError(f"{place}: {names} share {each.labels.name}; keep one of them")
    return tuple(found)
