"""A labelled set of recordings in either layout, ready to be scored."""

from dataclasses import dataclass
from pathlib import Path

from spikewatch.model.detections import Detections
from spikewatch.model.errors import DatasetError
from spikewatch.model.prophesee_boxes import PropheseeBoxes
from spikewatch.model.training.datasets.class_map import ClassMap, read_class_names
from spikewatch.model.training.datasets.coco_images import Categories
from spikewatch.model.training.datasets.coco_recordings import AnnotatedRecording, read_coco_recordings
from spikewatch.model.training.datasets.labelled_recording import LabelledRecording
from spikewatch.model.training.datasets.prophesee import find_recordings, split_folder
from spikewatch.model.training.datasets.protocol import (
    PROTOCOLS,
    EvaluationProtocol,
    ProtocolName,
    protocol_for_sensor,
)
from spikewatch.model.training.evaluation.evaluate import evaluate_boxes
from spikewatch.model.training.evaluation.evaluation import Evaluation, prepare_ground_truth
from spikewatch.model.training.evaluation.external_detections import boxes_at, read_coco_results, read_npy


@dataclass(frozen=True, slots=True)
class RecordingSet:
    """A split.

    Attributes:
        recordings: all of it.
        class_names: by the ids of the labels.
        protocol: of scoring; None for those of each sensor.
        categories: of a file in COCO's format.
    """

    recordings: tuple[LabelledRecording, ...]
    class_names: tuple[str, ...]
    protocol: EvaluationProtocol | None
    categories: Categories | None = None


def prophesee_set(folder: Path, split: str, protocol: ProtocolName | None = None) -> RecordingSet:
    """A folder in Prophesee's layout; protocol: by the sensor where none are named.

    Raises:
        DatasetError, IngestError: see `find_recordings`, `read_class_names` and `Labelled.open`.
    """
    recordings = find_recordings(folder, split)
    with recordings[0].open() as first:
        usual = protocol_for_sensor(*first.sensor_size())
    names = read_class_names(split_folder(folder, split), usual.name)
    return RecordingSet(recordings, names, None if protocol is None else PROTOCOLS[protocol])


def coco_set(path: Path, protocol: ProtocolName | None = None) -> RecordingSet:
    """An annotations file in COCO's format; nothing is filtered unless rules are named.

    Raises:
        DatasetError: see `read_coco_recordings`.
    """
    found = read_coco_recordings(path)
    return RecordingSet(
        found.recordings, found.categories.names, PROTOCOLS[protocol or "none"], found.categories
    )


def evaluate_files(path: Path, data: RecordingSet, classes: ClassMap, limit: int | None = None) -> Evaluation:
    """Score detections of another system; limit: take only the first recordings.

    Raises:
        DatasetError: see `model.training.elsewhere` and `evaluate_boxes`.
    """
    recordings = data.recordings[:limit]
    truth = prepare_ground_truth(recordings, classes, data.protocol)
    return evaluate_boxes(truth, _read_boxes(path, data, recordings), classes)


def _read_boxes(
    path: Path, data: RecordingSet, recordings: tuple[LabelledRecording, ...]
) -> list[PropheseeBoxes]:
    if path.suffix != ".json":
        return read_npy(path, recordings, data.recordings, len(data.class_names))
    annotated = [each for each in data.recordings if isinstance(each, AnnotatedRecording)]
    if data.categories is None:
        raise DatasetError(f"{path}: this data set has no image ids; give a folder of .npy, one a recording")
    times = [{each.image_id or 0: each.t_us for each in some.frames} for some in annotated]
    known = frozenset(image for some in times for image in some)
    results: dict[int, Detections] = read_coco_results(path, data.categories, known)
    return [boxes_at(some, results) for some in times[: len(recordings)]]
