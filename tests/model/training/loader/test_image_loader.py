"""Image loader: the same frame in T slices, boxes that follow it, each image once in an epoch."""

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spikewatch.model.errors import ConfigError, DatasetError
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.augment.image import ColourFactors, render_image
from spikewatch.model.training.augment.placement import Placement, Rectangle
from spikewatch.model.training.datasets.coco_images import Categories, CocoImages, LabelledImage
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.datasets.input_boxes import IGNORE_REGION, TrainingBoxFilter
from spikewatch.model.training.loader.image_loader import ImageAugmentation, ImageLoader, ImageLoaderOptions
from tests.model.training.support.fakes import epoch_of
from tests.model.training.support.moving_boxes import HEIGHT, WIDTH, agree, small_spec

NAMES = ("red", "green")
SIZES = ((96, 64), (120, 80), (48, 64), (150, 60), (64, 64))
"""As large as the input; larger; tall; wide; square."""
SPEC = ModelSpec(
    "pictures",
    SpikeYOLOConfig(in_channels=3, classes=2),
    class_names=NAMES,
    representation="image",
    slices=3,
    input_height=HEIGHT,
    input_width=WIDTH,
)
NONE = ImageAugmentation.none()


def objects(index: int) -> GroundTruth:
    """A box of each class, and a crowd."""
    w, h = SIZES[index]
    rows = [[2, 3, w / 3, h / 2], [w / 2, h / 3, w / 3, h / 2 + 1], [0, 0, w, h]]
    xywh = np.array(rows, np.float64).round()
    return GroundTruth(xywh, np.array([0, 1, 0]), xywh[:, 2] * xywh[:, 3], np.array([False, False, True]))


def read(path: Path) -> NDArray[np.uint8]:
    """Grey image with objects in the colour of their class; the blue channel is the number of the image."""
    index = int(path.stem)
    w, h = SIZES[index]
    picture = np.zeros((h, w, 3), np.uint8)
    picture[..., 2] = 40 * (index + 1)
    truth = objects(index)
    for (x, y, bw, bh), class_id in list(zip(truth.xywh.astype(int), truth.class_id, strict=True))[:2]:
        picture[y : y + bh, x : x + bw, class_id] = 200
    return picture


@pytest.fixture
def images() -> CocoImages:
    pictures = [LabelledImage(Path(f"{k}.png"), *SIZES[k], objects(k), k) for k in range(len(SIZES))]
    categories = Categories(tuple(NAMES), {k: k for k in range(len(NAMES))})
    return CocoImages(categories, tuple(pictures), frozenset(range(len(SIZES))))


def options(how: ImageAugmentation = NONE, **changes: int) -> ImageLoaderOptions:
    return ImageLoaderOptions(
        batch_size=2, box_filter=TrainingBoxFilter(0, 0, 0), augmentation=how, **changes
    )  # type: ignore[arg-type]


def test_images_equal_those_of_evaluation(images: CocoImages) -> None:
    training = ImageLoader(images, SPEC, options(), read)
    assert training.batches_per_epoch == 3
    seen = Counter[int]()
    for batch in epoch_of(training, 0):
        assert (batch.frames.shape, batch.frames.dtype) == ((3, 2, 3, HEIGHT, WIDTH), torch.uint8)
        assert (batch.frames == batch.frames[:1]).all()
        assert batch.is_first.tolist() == [[True, True], [False, False], [False, False]]
        assert [t.labelled.tolist() for t in batch.targets] == [[False] * 2, [False] * 2, [True] * 2]
        assert all(t.batch_index.numel() == 0 for t in batch.targets[:2])
        for index in range(2):
            frame = batch.frames[0, index]
            index = int(frame[2, HEIGHT // 2, WIDTH // 2]) // 40 - 1
            seen[index] += 1
            picture = read(Path(f"{index}.png")).transpose(2, 0, 1)
            shown = preprocess(picture, Letterbox.fit(*SIZES[index], SPEC), SPEC)
            assert np.abs(frame.numpy() / batch.levels - shown).max() <= 0.5 / 255 + 1e-6
    assert set(seen) == set(range(5))
    assert sum(seen.values()) == 6, "the last batch is filled up"


GEOMETRY = {
    "none": NONE,
    "flip": replace(NONE, flip=0.5),
    "zoom": replace(NONE, zoom=1.0, scale=(0.5, 1.5), translate=0.2),
    "mosaic": replace(NONE, mosaic=1.0, flip=0.5),
    "all": ImageAugmentation(),
}


@pytest.mark.parametrize("name", GEOMETRY)
def test_boxes_follow_the_images(name: str, images: CocoImages) -> None:
    training = ImageLoader(images, SPEC, options(GEOMETRY[name]), read)
    numbers = set()
    for epoch in range(10):
        for batch in epoch_of(training, epoch):
            targets = batch.targets[-1]
            for index in range(2):
                red, green, blue = batch.frames[-1, index].numpy().astype(int)
                covered = {0: red > green + 40, 1: green > red + 40}
                both = (red > blue + 40) & (green > blue + 40) & ~covered[0] & ~covered[1]
                for class_id in (0, 1):
                    own = targets.xyxy[
                        (targets.batch_index == index) & (targets.class_id == class_id)
                    ].numpy()
                    assert agree(covered[class_id] | both, own, 2.1)
                mine = targets.batch_index == index
                numbers.add(int((mine & (targets.class_id >= 0)).sum()))
                assert (mine & (targets.class_id == IGNORE_REGION)).any(), "the crowd"
    assert max(numbers) == 8 if name == "mosaic" else 2 in numbers


def test_batches_depend_on_seed_epoch_rank_and_world_only(images: CocoImages) -> None:
    training = ImageLoader(images, SPEC, options(ImageAugmentation()), read)
    copy = pickle.loads(pickle.dumps(training))
    assert torch.equal(training.batch(2, 1).frames, copy.batch(2, 1).frames)
    first = training.batch(0, 0).frames
    others = (training.batch(1, 0), training.batch(0, 1), training.batch(0, 0, 1, 2))
    assert not any(torch.equal(first, other.frames) for other in others)


def test_processes_share_an_epoch(images: CocoImages) -> None:
    training = ImageLoader(images, SPEC, options(world_size=3), read)
    assert training.batches_per_epoch == 1
    frames = [
        next(epoch_of(training, 0, rank, 3)).frames[0, index] for rank in range(3) for index in range(2)
    ]
    assert {int(frame[2, HEIGHT // 2, WIDTH // 2]) // 40 - 1 for frame in frames} == set(range(5))
    assert ImageLoader(images, SPEC, options(batches=2), read).batches_per_epoch == 2


def test_colours_change_but_not_the_border() -> None:
    picture = np.full((64, 64, 3), [100, 50, 20], np.uint8)
    box = Letterbox.fit(64, 64, SPEC)
    out = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    whole = Placement(Rectangle(0, 0, WIDTH, HEIGHT))
    render_image(picture, box, whole, ColourFactors(1.5, 1.0), out)
    assert out[:, 32, 48].tolist() == [150, 75, 30]
    assert out[:, 32, 0].tolist() == [114] * 3
    render_image(picture, box, whole, ColourFactors(1.0, 0.0), out)
    assert out[:, 32, 48].tolist() == [62] * 3, "0.299 * 100 + 0.587 * 50 + 0.114 * 20"
    render_image(picture, box, whole, ColourFactors(9.0, 1.0), out)
    assert out[:, 32, 48].tolist() == [255, 255, 180]


def test_unusable_images_and_options_are_rejected(images: CocoImages) -> None:
    with pytest.raises(ConfigError, match="input is an image, but small takes events"):
        ImageLoader(images, small_spec(), options(), read)
    with pytest.raises(DatasetError, match="name no images"):
        ImageLoader(replace(images, images=()), SPEC, options(), read)
    with pytest.raises(DatasetError, match="the annotations have 1 classes, expected the 2 of pictures"):
        ImageLoader(replace(images, categories=Categories(("red",), {})), SPEC, options(), read)
    wrong = replace(images, images=(replace(images.images[0], width=95),))
    with pytest.raises(DatasetError, match=r"0\.png: 96x64, but 95x64 by its annotations"):
        ImageLoader(wrong, SPEC, options(), read).batch(0, 0)
    with pytest.raises(ConfigError, match="batch_size 0"):
        ImageLoaderOptions(batch_size=0)
