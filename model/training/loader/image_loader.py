"""Still pictures as batches: each is shown K = T times from rest, and taught at the last.

Shapes: K slices, B lanes, P channels, h and w input pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spikewatch.model.errors import ConfigError, DatasetError
from spikewatch.model.letterbox import Letterbox
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.augment.boxes import follow
from spikewatch.model.training.augment.image import Colours, paint_picture, picture_boxes
from spikewatch.model.training.augment.transforms import draw_mosaic, draw_placement, log_uniform
from spikewatch.model.training.datasets.coco_images import CocoImages, LabelledPicture
from spikewatch.model.training.datasets.input_boxes import BoxRules, InputBoxes, joined, levels_of
from spikewatch.model.training.loader.batch import Batch, targets_of

ReadPicture = Callable[[Path], NDArray[np.uint8]]

ORDER, PICTURE = 0, 1
"""What a random generator is for."""


@dataclass(frozen=True, slots=True)
class PictureAugmentation:
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
    def none() -> "PictureAugmentation":
        """Pictures as evaluation shows them."""
        return PictureAugmentation(0, 0, (1, 1), 0, 0, (1, 1), (1, 1))


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """What batches are made of; see `SetOptions` for the fields of the same names."""

    lanes: int = 16
    batches: int | None = None
    world: int = 1
    seed: int = 0
    rules: BoxRules = field(default_factory=BoxRules)
    augmentation: PictureAugmentation = field(default_factory=PictureAugmentation)

    def __post_init__(self) -> None:
        """Refuse options that make no batch."""
        if min(self.lanes, self.world) < 1 or (self.batches is not None and self.batches < 1):
            raise ConfigError(
                f"lanes {self.lanes}, batches {self.batches}, world {self.world}: expected at least one"
            )
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: expected 0 or more")


class PictureSet:
    """Batches of labelled pictures, the same for the same seed, epoch, rank and world.

    An epoch shows each picture once, in a random order; the last batch is filled up from its beginning. Any
    batch can be made by itself.

    Raises:
        ConfigError: the weights look at events.
        DatasetError: there are no pictures, or other classes; while drawing, a picture of another size than
            the annotations say. What `read` raises passes through.
    """

    def __init__(
        self, images: CocoImages, spec: ModelSpec, options: PictureOptions, read: ReadPicture
    ) -> None:
        if not images.pictures:
            raise DatasetError("the annotations name no pictures")
        spec.check_input(events=False, name=images.pictures[0].path.name)
        if len(images.class_names) != len(spec.class_names):
            given, known = len(images.class_names), len(spec.class_names)
            raise DatasetError(f"the annotations have {given} classes, but {spec.name} knows {known}")
        self._pictures, self._options, self._read = images.pictures, options, read
        self._slices, self._size = spec.slices, (spec.input_height, spec.input_width)
        self._levels = levels_of(spec)
        self._boxes = tuple(Letterbox.fit(each.width, each.height, spec) for each in images.pictures)
        needed = -(-len(images.pictures) // (options.world * options.lanes))
        self.batches_per_epoch = min(needed, options.batches or needed)

    def batch(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Batch:
        """One batch of an epoch by itself; its K slices share their memory."""
        options = self._options
        order = np.random.default_rng([options.seed, ORDER, epoch]).permutation(len(self._pictures))
        frames = torch.empty((options.lanes, 3, *self._size), dtype=torch.uint8)
        seen: list[InputBoxes | None] = []
        for lane in range(options.lanes):
            number = (step * world + rank) * options.lanes + lane
            rng = np.random.default_rng([options.seed, PICTURE, epoch, number])
            seen.append(self._shown(int(order[number % len(order)]), rng, frames[lane].numpy()))
        fresh = torch.zeros((self._slices, options.lanes), dtype=torch.bool)
        fresh[0] = True
        unknown = targets_of([None] * options.lanes)
        targets = (*[unknown] * (self._slices - 1), targets_of(seen))
        repeated = frames.expand(self._slices, *frames.shape)
        return Batch(repeated, float(self._levels), fresh, targets)

    def _shown(self, index: int, rng: np.random.Generator, out: NDArray[np.uint8]) -> InputBoxes | None:
        how = self._options.augmentation
        if rng.random() < how.mosaic:
            placements = draw_mosaic(how, rng, *self._size)
            picked = [index, *rng.integers(len(self._pictures), size=3).tolist()]
        else:
            placements, picked = [draw_placement(how, rng, *self._size)], [index]
        parts = []
        for each, placement in zip(picked, placements, strict=True):
            labelled, box = self._pictures[each], self._boxes[each]
            colours = Colours(log_uniform(rng, how.brightness), log_uniform(rng, how.saturation))
            paint_picture(self._pixels(labelled), box, placement, colours, out)
            boxes = picture_boxes(labelled.truth, box, labelled.width, labelled.height)
            parts.append(follow(boxes, placement, self._size[1], None, self._options.rules))
        return joined(parts)

    def _pixels(self, labelled: LabelledPicture) -> NDArray[np.uint8]:
        picture = self._read(labelled.path)
        height, width = picture.shape[:2]
        if (width, height) != (labelled.width, labelled.height):
            wanted = f"{labelled.width}x{labelled.height}"
            raise DatasetError(f"{labelled.path}: {width}x{height}, but {wanted} by its annotations")
        return picture
