"""A labelled set of recordings in either layout, ready to be scored."""

from dataclasses import dataclass
from pathlib import Path

from spikewatch.model.detections import Detections
from spikewatch.model.errors import DatasetError
from spikewatch.model.prophesee_boxes import Boxes
from spikewatch.model.training.datasets.class_map import ClassMap, folder_classes
from spikewatch.model.training.datasets.coco_images import Categories
from spikewatch.model.training.datasets.coco_recordings import AnnotatedRecording, read_coco_recordings
from spikewatch.model.training.datasets.labelled_recording import Labelled
from spikewatch.model.training.datasets.prophesee import find_recordings, split_folder
from spikewatch.model.training.datasets.protocol import RULES, Rules, RulesName, rules_for
from spikewatch.model.training.evaluation.evaluate import evaluate_boxes
from spikewatch.model.training.evaluation.evaluation import Evaluation, prepare
from spikewatch.model.training.evaluation.external_detections import boxes_at, read_npy, read_results


@dataclass(frozen=True, slots=True)
class RecordingSet:
    """A split.

    Attributes:
        recordings: all of it.
        class_names: by the ids of the labels.
        rules: of scoring; None for those of each sensor.
        categories: of a file in COCO's format.
    """

    recordings: tuple[Labelled, ...]
    class_names: tuple[str, ...]
    rules: Rules | None
    categories: Categories | None = None


def prophesee_set(folder: Path, split: str, rules: RulesName | None = None) -> RecordingSet:
    """A folder in Prophesee's layout; rules: by the sensor where none are named.

    Raises:
        DatasetError, IngestError: see `find_recordings`, `folder_classes` and `Labelled.open`.
    """
    recordings = find_recordings(folder, split)
    with recordings[0].open() as first:
        usual = rules_for(*first.sensor_size())
    names = folder_classes(split_folder(folder, split), usual.name)
    return RecordingSet(recordings, names, None if rules is None else RULES[rules])


def coco_set(path: Path, rules: RulesName | None = None) -> RecordingSet:
    """An annotations file in COCO's format; nothing is filtered unless rules are named.

    Raises:
        DatasetError: see `read_coco_recordings`.
    """
    found = read_coco_recordings(path)
    return RecordingSet(found.recordings, found.categories.names, RULES[rules or "none"], found.categories)


def evaluate_files(
    found: Path, data: RecordingSet, classes: ClassMap, limit: int | None = None
) -> Evaluation:
    """Score detections of another system; limit: take only the first recordings.

    Raises:
        DatasetError: see `model.training.elsewhere` and `evaluate_boxes`.
    """
    recordings = data.recordings[:limit]
    truth = prepare(recordings, classes, data.rules)
    return evaluate_boxes(truth, _boxes(found, data, recordings), classes)


def _boxes(path: Path, data: RecordingSet, recordings: tuple[Labelled, ...]) -> list[Boxes]:
    if path.suffix != ".json":
        return read_npy(path, recordings, data.recordings, len(data.class_names))
    annotated = [each for each in data.recordings if isinstance(each, AnnotatedRecording)]
    if data.categories is None:
        raise DatasetError(f"{path}: this data set has no image ids; give a folder of .npy, one a recording")
    times = [{each.image_id or 0: each.t_us for each in some.times} for some in annotated]
    known = frozenset(image for some in times for image in some)
    results: dict[int, Detections] = read_results(path, data.categories, known)
    return [boxes_at(some, results) for some in times[: len(recordings)]]
