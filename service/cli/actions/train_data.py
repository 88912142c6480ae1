"""What `spikewatch train` learns from and is scored on, by the kind of data set."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.augment.options import Augmentation
from spikewatch.model.training.datasets.class_map import match_classes
from spikewatch.model.training.datasets.coco_images import (
    CocoImages,
    find_annotation_files,
    read_coco,
    resolve_split,
)
from spikewatch.model.training.datasets.detect_kind import dataset_kind
from spikewatch.model.training.datasets.prophesee import split_folder
from spikewatch.model.training.evaluation.evaluate import (
    DEFAULT_SELECTION,
    evaluate_images,
    evaluate_recordings,
)
from spikewatch.model.training.evaluation.evaluation import prepare_ground_truth
from spikewatch.model.training.evaluation.metrics import Score
from spikewatch.model.training.evaluation.recording_set import RecordingSet, coco_set, prophesee_set
from spikewatch.model.training.learner.run import BatchSource, Validate
from spikewatch.model.training.loader.image_loader import ImageAugmentation, ImageLoader, ImageLoaderOptions
from spikewatch.model.training.loader.recording_loader import LoaderOptions, RecordingLoader
from spikewatch.model.training.slice_cache.cache import CacheOptions
from spikewatch.service.cli.progress import progress_bar
from spikewatch.service.inference.images import read_image


@dataclass(frozen=True, slots=True)
class DataOptions:
    """The data set, and in which portions it is fed.

    Attributes:
        dataset: folder of recordings with train/ and val/, or with annotations/ in COCO's format.
        cache: folder of cut recordings; cache_gb: its bound.
        limit: train on the first recordings or pictures only; validate_on: likewise, 0 for never.
        batches: an epoch ends after so many.
        lanes, steps: B and K.
        stream_share: of the lanes that carry their membranes.
        augment: off for frames as they are.
    """

    dataset: Path
    cache: Path
    cache_gb: float
    limit: int | None
    validate_on: int | None
    batches: int | None
    lanes: int
    steps: int
    stream_share: float
    augment: bool


class RecordingData:
    """Events with labels; `split` finds train and val."""

    representation = "polarity_counts"

    def __init__(self, data: DataOptions, split: Callable[[Path, str], RecordingSet]) -> None:
        self._data, self._split = data, split
        self._train = split(data.dataset, "train")
        self.class_names = self._train.class_names

    def make_batches(self, spec: ModelSpec, seed: int, world: int) -> BatchSource:
        """Clips and lanes of the training split, cut anew where the cache lacks them."""
        data = self._data
        options = LoaderOptions(
            CacheOptions(data.cache, int(data.cache_gb * (1 << 30)), processes=os.cpu_count() or 1),
            batch_size=data.lanes,
            slices=data.steps,
            stream_share=data.stream_share,
            batches=data.batches,
            world_size=world,
            seed=seed,
            augmentation=Augmentation() if data.augment else Augmentation.none(),
        )
        with progress_bar("cutting recordings") as update:
            return RecordingLoader(self._train.recordings[: data.limit], spec, options, update)

    def make_validator(self) -> Validate:
        """Scores on val as `evaluate` does, the membranes carried; its labels are read at once.

        Raises:
            ConfigError: it would be the training split.
            DatasetError: there is none, its labels are damaged, or none counts.
        """
        val = self._split(self._data.dataset, "val")
        recordings = val.recordings[: self._data.validate_on]
        prepare_ground_truth(recordings, match_classes(val.class_names, self.class_names), val.protocol)

        def validate(detector: Detector) -> Score:
            classes = match_classes(val.class_names, detector.spec.class_names)
            batch = min(len(recordings), 16)
            return evaluate_recordings(
                detector, recordings, state="carry", protocol=val.protocol, classes=classes, batch=batch
            ).score

        return validate


class ImageData:
    """COCO: each picture is shown T times, from rest."""

    representation = "image"

    def __init__(self, data: DataOptions) -> None:
        self._data = data
        self._train = read_coco(data.dataset, resolve_split(data.dataset, "train"), data.limit)
        self.class_names = self._train.class_names

    def make_batches(self, spec: ModelSpec, seed: int, world: int) -> BatchSource:
        """Pictures of the training split."""
        data = self._data
        how = ImageAugmentation() if data.augment else ImageAugmentation.none()
        options = ImageLoaderOptions(data.lanes, data.batches, world, seed, augmentation=how)
        return ImageLoader(self._train, spec, options, read_image)

    def make_validator(self) -> Validate:
        """Scores on val by COCO's protocol."""
        folder = self._data.dataset
        images: CocoImages = read_coco(folder, resolve_split(folder, "val"), self._data.validate_on)

        def validate(detector: Detector) -> Score:
            return evaluate_images(
                detector, images, detector.spec.slices, DEFAULT_SELECTION, read_image, batch=8
            ).score

        return validate


def open_training_data(data: DataOptions) -> RecordingData | ImageData:
    """By the kind of data set.

    Raises:
        DatasetError: there is none, or no training split.
        ConfigError: a file of boxes, which has no splits.
    """
    match dataset_kind(data.dataset):
        case "prophesee":
            return RecordingData(data, _prophesee_split)
        case "coco":
            return ImageData(data)
        case "coco_recordings":
            return RecordingData(data, _coco_split)


def _prophesee_split(folder: Path, split: str) -> RecordingSet:
    if split == "val" and split_folder(folder, "train") == split_folder(folder, "val"):
        raise ConfigError(
            f"{folder}: recordings lie in it directly, so val would be train; make train/ and val/, or "
            "score never (--validate-on 0)"
        )
    return prophesee_set(folder, split)


def _coco_split(folder: Path, split: str) -> RecordingSet:
    if folder.is_file():
        raise ConfigError(
            f"{folder.name}: one file; train on a folder that holds annotations/instances_train*.json and "
            "instances_val*.json"
        )
    return coco_set(find_annotation_files(folder)[resolve_split(folder, split)])
