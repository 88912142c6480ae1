"""Gen1 as Prophesee ships it: `test/*_td.dat`, each with its `*_bbox.npy` beside."""

from dataclasses import dataclass
from pathlib import Path

from ingest.recording import Recording, open_recording
from model.errors import DatasetError

EVENTS, LABELS = "_td.dat", "_bbox.npy"
"""Endings of the two files of one recording."""


@dataclass(frozen=True, slots=True)
class LabelledRecording:
    """Where the events and the labels of one recording are."""

    events: Path
    labels: Path

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


def has_recordings(folder: Path) -> bool:
    """True if the folder holds `*_td.dat` itself or one level below."""
    return any(next(folder.glob(pattern + EVENTS), None) for pattern in ("*", "*/*"))


def find_recordings(folder: Path, split: str = "test") -> tuple[LabelledRecording, ...]:
    """The recordings of a split, by name; of the folder itself where it holds recordings directly.

    Raises:
        DatasetError: there are none, or one lacks its labels.
    """
    place = folder if next(folder.glob("*" + EVENTS), None) else folder / split
    events = sorted(place.glob("*" + EVENTS))
    if not events:
        splits = sorted({path.parent.name for path in folder.glob("*/*" + EVENTS)})
        raise DatasetError(f"{place}: no *{EVENTS}; splits here: {', '.join(splits) or 'none'}")
    found = [
        LabelledRecording(path, path.with_name(path.name.removesuffix(EVENTS) + LABELS)) for path in events
    ]
    missing = [each.labels for each in found if not each.labels.is_file()]
    if missing:
        raise DatasetError(f"{missing[0]}: missing; {len(missing)} of {len(found)} recordings have no labels")
    return tuple(found)
