"""The training and validation data of `spikewatch train`, by the kind of data set."""

import os
from collections.abc import Callable
from dataclasses import replace
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
from spikewatch.model.training.datasets.protocol import PROTOCOLS
from spikewatch.model.training.evaluation.evaluate import (
    DEFAULT_SELECTION,
    evaluate_images,
    evaluate_recordings,
)
from spikewatch.model.training.evaluation.evaluation import prepare_ground_truth
from spikewatch.model.training.evaluation.recording_set import RecordingSet, coco_set, prophesee_set
from spikewatch.model.training.learner.run import BatchSource
from spikewatch.model.training.learner.validation import SetScore, Validate
from spikewatch.model.training.loader.clutter import ClutteredLoader
from spikewatch.model.training.loader.image_loader import ImageAugmentation, ImageLoader, ImageLoaderOptions
from spikewatch.model.training.loader.recording_loader import LoaderOptions, RecordingLoader
from spikewatch.model.training.slice_cache.cache import CacheOptions
from spikewatch.service.cli.options.train import TrainOptions
from spikewatch.service.cli.progress import progress_bar
from spikewatch.service.inference.images import read_image

AUGMENTATIONS = {
    "none": Augmentation.none(),
    "standard": Augmentation(),
    "strong": Augmentation.strong(),
    "mild": Augmentation.mild(),
}


class RecordingData:
    """Events with labels.

    Args:
        options: of the command.
        find_split: finds the recordings of the split `train` or `val` in a folder.
    """

    representation = "polarity_counts"

    def __init__(self, options: TrainOptions, find_split: Callable[[Path, str], RecordingSet]) -> None:
        self._options, self._find_split = options, find_split
        self._train = find_split(options.dataset, "train")
        self.class_names = self._train.class_names
        self._also = [self._open_train(folder) for folder in options.also or []]
        self._clutter = [self._open_train(folder) for folder in options.clutter or []]

    def _open_train(self, folder: Path) -> RecordingSet:
        """Open another data set of recordings, whose classes must be the same.

        Raises:
            ConfigError: it is of images, or has other classes.
        """
        kind = dataset_kind(folder)
        if kind == "coco":
            raise ConfigError(f"{folder}: a data set of images, expected recordings")
        found = (_prophesee_split if kind == "prophesee" else _coco_split)(folder, "train")
        if found.class_names != self.class_names:
            raise ConfigError(
                f"{folder}: classes {', '.join(found.class_names)}, expected those of "
                f"{self._options.dataset.name}: {', '.join(self.class_names)}"
            )
        return found

    def make_batches(self, spec: ModelSpec, world_size: int) -> BatchSource:
        """Return a loader of the training split; recordings that are not in the cache are cut into slices."""
        options = self._options
        cache_bytes = int(options.cache_gb * (1 << 30))
        loader_options = LoaderOptions(
            CacheOptions(options.cache_dir, cache_bytes, processes=os.cpu_count() or 1),
            batch_size=options.batch,
            slices=options.steps,
            stream_share=options.stream_share,
            batches=options.batches,
            world_size=world_size,
            seed=options.seed,
            augmentation=AUGMENTATIONS[options.augmentation if options.augment else "none"],
        )
        recordings = self._train.recordings[: options.limit]
        for other in self._also:
            recordings += other.recordings
        with progress_bar("cutting recordings") as update:
            batches = RecordingLoader(recordings, spec, loader_options, update)
        if not self._clutter or not round(options.batch * options.clutter_share):
            return batches
        clutter_options = replace(
            loader_options,
            batch_size=round(options.batch * options.clutter_share),
            batches=None,
            require_boxes=False,
        )
        clutter = tuple(recording for each in self._clutter for recording in each.recordings)
        with progress_bar("cutting clutter") as update:
            return ClutteredLoader(batches, RecordingLoader(clutter, spec, clutter_options, update))

    def make_validator(self) -> Validate:
        """Return a function that scores as `evaluate --state carry` does, on val and all named sets.

        Labels are read now.

        Raises:
            ConfigError: val is the training split, or a set has no name or that of another.
            DatasetError: there is no val split, its labels are damaged, or there is nothing to score.
        """
        val = self._find_split(self._options.dataset, "val")
        if self._options.protocol is not None:
            val = replace(val, protocol=PROTOCOLS[self._options.protocol])
        sets = {"val": replace(val, recordings=val.recordings[: self._options.validate_on])}
        for text in self._options.validate or []:
            name, _, folder = text.partition("=")
            if not name.isidentifier() or not folder or name in sets:
                raise ConfigError(f"--validate {text}: expected NAME=DATASET, with another name for each")
            sets[name] = _open_validation(Path(folder))
        for each in sets.values():
            classes = match_classes(each.class_names, self.class_names)
            prepare_ground_truth(each.recordings, classes, each.protocol)

        def validate(detector: Detector) -> list[SetScore]:
            return [_score_set(detector, name, each) for name, each in sets.items()]

        return validate


class ImageData:
    """COCO's images; each is shown T times, starting at rest."""

    representation = "image"

    def __init__(self, options: TrainOptions) -> None:
        self._options = options
        self._train = read_coco(options.dataset, resolve_split(options.dataset, "train"), options.limit)
        self.class_names = self._train.class_names

    def make_batches(self, spec: ModelSpec, world_size: int) -> BatchSource:
        """Return a loader of the training split."""
        options = self._options
        augmentation = ImageAugmentation() if options.augment else ImageAugmentation.none()
        loader_options = ImageLoaderOptions(
            options.batch, options.batches, world_size, options.seed, augmentation=augmentation
        )
        return ImageLoader(self._train, spec, loader_options, read_image)

    def make_validator(self) -> Validate:
        """Return a function that scores on val by COCO's protocol."""
        folder = self._options.dataset
        images: CocoImages = read_coco(folder, resolve_split(folder, "val"), self._options.validate_on)

        def validate(detector: Detector) -> list[SetScore]:
            evaluation = evaluate_images(
                detector, images, detector.spec.slices, DEFAULT_SELECTION, read_image, batch=8
            )
            return [SetScore.from_evaluation("val", evaluation)]

        return validate


def _open_validation(path: Path) -> RecordingSet:
    """Open a named validation set: the val split, or the recordings of a folder or file without splits."""
    match dataset_kind(path):
        case "prophesee":
            return prophesee_set(path, "val", "none")
        case "coco_recordings":
            return coco_set(path) if path.is_file() else _coco_split(path, "val")
        case "coco":
            raise ConfigError(f"{path}: a data set of images, expected recordings")


def _score_set(detector: Detector, name: str, data: RecordingSet) -> SetScore:
    classes = match_classes(data.class_names, detector.spec.class_names)
    evaluation = evaluate_recordings(
        detector,
        data.recordings,
        state="carry",
        protocol=data.protocol,
        classes=classes,
        batch=min(len(data.recordings), 16),
    )
    return SetScore.from_evaluation(name, evaluation)


def open_training_data(options: TrainOptions) -> RecordingData | ImageData:
    """Open the data set; its kind is detected from the content.

    Raises:
        DatasetError: there is no data set, or no training split.
        ConfigError: the data set is a file of boxes, which has no splits.
    """
    match dataset_kind(options.dataset):
        case "prophesee":
            return RecordingData(options, _prophesee_split)
        case "coco":
            if options.also or options.clutter or options.validate:
                raise ConfigError(
                    f"{options.dataset}: a data set of images, but --also, --clutter and --validate need "
                    "recordings"
                )
            return ImageData(options)
        case "coco_recordings":
            return RecordingData(options, _coco_split)


def _prophesee_split(folder: Path, split: str) -> RecordingSet:
    if split == "val" and split_folder(folder, "train") == split_folder(folder, "val"):
        raise ConfigError(
            f"{folder}: recordings lie in it directly, so val would be train; make train/ and val/, or "
            "do not score (--validate-on 0)"
        )
    return prophesee_set(folder, split)


def _coco_split(folder: Path, split: str) -> RecordingSet:
    if folder.is_file():
        raise ConfigError(
            f"{folder.name}: one file; train on a folder that holds annotations/instances_train*.json and "
            "instances_val*.json"
        )
    return coco_set(find_annotation_files(folder)[resolve_split(folder, split)])
