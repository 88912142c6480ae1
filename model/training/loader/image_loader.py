"""Image loader: batches of images, each repeated for K = T slices and labelled at the last.

Shapes: K slices, B samples, P channels, h and w input pixels.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from spikewatch.model.errors import ConfigError
from spikewatch.model.letterbox import Letterbox
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.augment.boxes import transform_boxes
from spikewatch.model.training.augment.image import ColourFactors, image_boxes, render_image
from spikewatch.model.training.augment.transforms import sample_log_uniform, sample_mosaic, sample_placement
from spikewatch.model.training.datasets.coco_images import (
    CocoImages,
    ReadImage,
    check_images,
    read_labelled_image,
)
from spikewatch.model.training.datasets.input_boxes import (
    InputBoxes,
    TrainingBoxFilter,
    concat_boxes,
    quantisation_levels,
)
from spikewatch.model.training.loader.batch import Batch, make_targets

ORDER_SEED, IMAGE_SEED = 0, 1
"""Purpose of a random generator, part of its seed."""


@dataclass(frozen=True, slots=True)
class ImageAugmentation:
    """Augmentation options for images; the paper trains COCO with mosaics.

    Attributes:
        flip, zoom, scale, translate, mosaic: see `Augmentation`.
        brightness, saturation: ranges of their factors, sampled log-uniformly for each image.
    """

    flip: float = 0.5
    zoom: float = 0.8
    scale: tuple[float, float] = (0.5, 1.5)
    translate: float = 0.1
    mosaic: float = 0.7
    brightness: tuple[float, float] = (0.65, 1.5)
    saturation: tuple[float, float] = (0.5, 1.6)

    @staticmethod
    def none() -> "ImageAugmentation":
        """Return options that change nothing, for images as in evaluation."""
        return ImageAugmentation(0, 0, (1, 1), 0, 0, (1, 1), (1, 1))


@dataclass(frozen=True, slots=True)
class ImageLoaderOptions:
    """Options of an `ImageLoader`; see `LoaderOptions` for fields of the same names."""

    batch_size: int = 16
    batches: int | None = None
    world_size: int = 1
    seed: int = 0
    box_filter: TrainingBoxFilter = field(default_factory=TrainingBoxFilter)
    augmentation: ImageAugmentation = field(default_factory=ImageAugmentation)

    def __post_init__(self) -> None:
        """Raise ConfigError if a value is out of range."""
        if min(self.batch_size, self.world_size) < 1 or (self.batches is not None and self.batches < 1):
            raise ConfigError(
                f"batch_size {self.batch_size}, batches {self.batches}, world_size {self.world_size}: "
                "expected at least 1"
            )
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: expected 0 or more")


class ImageLoader:
    """Loader of labelled images. Batches depend only on seed, epoch, step, rank and world size.

    An epoch has each image once, in a random order; the last batch is filled from the start of the epoch.
    Batches can be made in any order.

    Raises:
        ConfigError: the weights take events.
        DatasetError: there are no images, or the classes differ; in `batch`, the size of an image differs
            from the annotations. Errors of `read_image` pass through.
    """

    def __init__(
        self, images: CocoImages, spec: ModelSpec, options: ImageLoaderOptions, read_image: ReadImage
    ) -> None:
        check_images(images, spec)
        self._images, self._options, self._read_image = images.images, options, read_image
        self._slices, self._input_size = spec.slices, (spec.input_height, spec.input_width)
        self._levels = quantisation_levels(spec)
        self._letterboxes = tuple(Letterbox.fit(image.width, image.height, spec) for image in images.images)
        needed = -(-len(images.images) // (options.world_size * options.batch_size))
        self.batches_per_epoch = min(needed, options.batches or needed)

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """Return one batch of an epoch. Its K slices share their memory."""
        options = self._options
        order = np.random.default_rng([options.seed, ORDER_SEED, epoch]).permutation(len(self._images))
        frames = torch.empty((options.batch_size, 3, *self._input_size), dtype=torch.uint8)
        boxes: list[InputBoxes | None] = []
        for sample in range(options.batch_size):
            number = (step * world_size + rank) * options.batch_size + sample
            rng = np.random.default_rng([options.seed, IMAGE_SEED, epoch, number])
            boxes.append(self._render(int(order[number % len(order)]), rng, frames[sample].numpy()))
        is_first = torch.zeros((self._slices, options.batch_size), dtype=torch.bool)
        is_first[0] = True
        unknown = make_targets([None] * options.batch_size)
        targets = (*[unknown] * (self._slices - 1), make_targets(boxes))
        repeated = frames.expand(self._slices, *frames.shape)
        return Batch(repeated, float(self._levels), is_first, targets)

    def _render(self, index: int, rng: np.random.Generator, out: NDArray[np.uint8]) -> InputBoxes | None:
        """Render an image, or a mosaic of four, into `out` [3,h,w] and return its boxes."""
        augmentation = self._options.augmentation
        if rng.random() < augmentation.mosaic:
            placements = sample_mosaic(augmentation, rng, *self._input_size)
            indices = [index, *rng.integers(len(self._images), size=3).tolist()]
        else:
            placements, indices = [sample_placement(augmentation, rng, *self._input_size)], [index]
        parts = []
        for image_index, placement in zip(indices, placements, strict=True):
            labelled, letterbox = self._images[image_index], self._letterboxes[image_index]
            colours = ColourFactors(
                sample_log_uniform(rng, augmentation.brightness),
                sample_log_uniform(rng, augmentation.saturation),
            )
            image = read_labelled_image(labelled, self._read_image)
            render_image(image, letterbox, placement, colours, out)
            boxes = image_boxes(labelled.ground_truth, letterbox, labelled.width, labelled.height)
            parts.append(
                transform_boxes(boxes, placement, self._input_size[1], None, self._options.box_filter)
            )
        return concat_boxes(parts)
