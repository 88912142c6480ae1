"""Still pictures as batches: each is shown K = T times from rest, and taught at the last.

Shapes: K slices, B lanes, P channels, h and w input pixels.
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
"""What a random generator is for."""


@dataclass(frozen=True, slots=True)
class ImageAugmentation:
    """As `Augmentation`, where it makes sense of a picture; the paper trains COCO with mosaics.

    Attributes:
        flip, zoom, scale, translate, mosaic: see `model.training.augment.Augmentation`.
        brightness, saturation: ranges of their factors, drawn on a log scale for each picture.
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
        """Pictures as evaluation shows them."""
        return ImageAugmentation(0, 0, (1, 1), 0, 0, (1, 1), (1, 1))


@dataclass(frozen=True, slots=True)
class ImageLoaderOptions:
    """What batches are made of; see `LoaderOptions` for the fields of the same names."""

    batch_size: int = 16
    batches: int | None = None
    world_size: int = 1
    seed: int = 0
    box_filter: TrainingBoxFilter = field(default_factory=TrainingBoxFilter)
    augmentation: ImageAugmentation = field(default_factory=ImageAugmentation)

    def __post_init__(self) -> None:
        """Refuse options that make no batch."""
        if min(self.batch_size, self.world_size) < 1 or (self.batches is not None and self.batches < 1):
            raise ConfigError(
                f"lanes {self.batch_size}, batches {self.batches}, world {self.world_size}: expected "
                "at least one"
            )
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: expected 0 or more")


class ImageLoader:
    """Batches of labelled pictures, the same for the same seed, epoch, rank and world.

    An epoch shows each picture once, in a random order; the last batch is filled up from its beginning. Any
    batch can be made by itself.

    Raises:
        ConfigError: the weights look at events.
        DatasetError: there are no pictures, or other classes; while drawing, a picture of another size than
            the annotations say. What `read_image` raises passes through.
    """

    def __init__(
        self, images: CocoImages, spec: ModelSpec, options: ImageLoaderOptions, read_image: ReadImage
    ) -> None:
        check_images(images, spec)
        self._images, self._options, self._read_image = images.images, options, read_image
        self._slices, self._input_size = spec.slices, (spec.input_height, spec.input_width)
        self._levels = quantisation_levels(spec)
        self._letterboxes = tuple(Letterbox.fit(each.width, each.height, spec) for each in images.images)
        needed = -(-len(images.images) // (options.world_size * options.batch_size))
        self.batches_per_epoch = min(needed, options.batches or needed)

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """One batch of an epoch by itself; its K slices share their memory."""
        options = self._options
        order = np.random.default_rng([options.seed, ORDER_SEED, epoch]).permutation(len(self._images))
        frames = torch.empty((options.batch_size, 3, *self._input_size), dtype=torch.uint8)
        seen: list[InputBoxes | None] = []
        for lane in range(options.batch_size):
            number = (step * world_size + rank) * options.batch_size + lane
            rng = np.random.default_rng([options.seed, IMAGE_SEED, epoch, number])
            seen.append(self._render(int(order[number % len(order)]), rng, frames[lane].numpy()))
        fresh = torch.zeros((self._slices, options.batch_size), dtype=torch.bool)
        fresh[0] = True
        unknown = make_targets([None] * options.batch_size)
        targets = (*[unknown] * (self._slices - 1), make_targets(seen))
        repeated = frames.expand(self._slices, *frames.shape)
        return Batch(repeated, float(self._levels), fresh, targets)

    def _render(self, index: int, rng: np.random.Generator, out: NDArray[np.uint8]) -> InputBoxes | None:
        how = self._options.augmentation
        if rng.random() < how.mosaic:
            placements = sample_mosaic(how, rng, *self._input_size)
            picked = [index, *rng.integers(len(self._images), size=3).tolist()]
        else:
            placements, picked = [sample_placement(how, rng, *self._input_size)], [index]
        parts = []
        for each, placement in zip(picked, placements, strict=True):
            labelled, box = self._images[each], self._letterboxes[each]
            colours = ColourFactors(
                sample_log_uniform(rng, how.brightness), sample_log_uniform(rng, how.saturation)
            )
            image = read_labelled_image(labelled, self._read_image)
            render_image(image, box, placement, colours, out)
            boxes = image_boxes(labelled.ground_truth, box, labelled.width, labelled.height)
            parts.append(
                transform_boxes(boxes, placement, self._input_size[1], None, self._options.box_filter)
            )
        return concat_boxes(parts)
