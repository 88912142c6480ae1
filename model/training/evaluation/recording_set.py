"""Recording set: a labelled split in Prophesee's or COCO's format, ready for scoring."""

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
    """Labelled recordings of a split.

    Attributes:
        recordings: all recordings.
        class_names: class names in the order of the class ids of the labels.
        protocol: evaluation protocol; None for that of the sensor.
        categories: categories of a COCO file; None for Prophesee's format.
    """

    recordings: tuple[LabelledRecording, ...]
    class_names: tuple[str, ...]
    protocol: EvaluationProtocol | None
    categories: Categories | None = None


def prophesee_set(folder: Path, split: str, protocol: ProtocolName | None = None) -> RecordingSet:
    """Read a split of a folder in Prophesee's format; the default protocol is that of the sensor.

    Raises:
        DatasetError, IngestError: see `find_recordings`, `read_class_names` and `LabelledRecording.open`.
    """
    recordings = find_recordings(folder, split)
    with recordings[0].open() as first:
        sensor_protocol = protocol_for_sensor(*first.sensor_size())
    names = read_class_names(split_folder(folder, split), sensor_protocol.name)
    return RecordingSet(recordings, names, None if protocol is None else PROTOCOLS[protocol])


def coco_set(path: Path, protocol: ProtocolName | None = None) -> RecordingSet:
    """Read a COCO annotations file; the default protocol is `none`, which does not filter boxes.

    Raises:
        DatasetError: see `read_coco_recordings`.
    """
    data = read_coco_recordings(path)
    return RecordingSet(
        data.recordings, data.categories.names, PROTOCOLS[protocol or "none"], data.categories
    )


def evaluate_files(path: Path, data: RecordingSet, classes: ClassMap, limit: int | None = None) -> Evaluation:
    """Score the detections of another system in the first `limit` recordings.

    Raises:
        DatasetError: see `read_npy`, `read_coco_results` and `evaluate_boxes`.
    """
    recordings = data.recordings[:limit]
    ground_truth = prepare_ground_truth(recordings, classes, data.protocol)
    return evaluate_boxes(ground_truth, _read_boxes(path, data, recordings), classes)


def _read_boxes(
    path: Path, data: RecordingSet, recordings: tuple[LabelledRecording, ...]
) -> list[PropheseeBoxes]:
    if path.suffix != ".json":
        return read_npy(path, recordings, data.recordings, len(data.class_names))
    annotated = [recording for recording in data.recordings if isinstance(recording, AnnotatedRecording)]
    if data.categories is None:
        raise DatasetError(
            f"{path}: COCO results, but this data set has no image ids; pass a folder of .npy files, one for "
            "each recording"
        )
    times_us = [{frame.image_id or 0: frame.t_us for frame in recording.frames} for recording in annotated]
    image_ids = frozenset(image_id for images in times_us for image_id in images)
    results: dict[int, Detections] = read_coco_results(path, data.categories, image_ids)
    return [boxes_at(images, results) for images in times_us[: len(recordings)]]
