"""After each augmentation, the boxes measured in the frames equal the targets."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spikewatch.model.training.augment.options import Augmentation, sample_intensity
from spikewatch.model.training.datasets.input_boxes import TrainingBoxFilter
from spikewatch.model.training.datasets.prophesee import PropheseeRecording
from spikewatch.model.training.loader.batch import Batch
from spikewatch.model.training.loader.recording_loader import LoaderOptions, RecordingLoader
from spikewatch.model.training.slice_cache.cache import CacheOptions
from tests.model.training.support.fakes import epoch_of
from tests.model.training.support.moving_boxes import (
    COUNTS,
    HEIGHT,
    WIDTH,
    agree,
    mask_of,
    moving_boxes,
    small_spec,
)

NONE = Augmentation.none()
EVERYTHING = TrainingBoxFilter(0, 0, 0)
STEP = 31
"""Byte value of one event."""

GEOMETRY = {
    "none": NONE,
    "flip": replace(NONE, flip=0.5),
    "move": replace(NONE, translate=0.3),
    "shrink": replace(NONE, zoom=1.0, scale=(0.5, 0.9)),
    "grow": replace(NONE, zoom=1.0, scale=(1.1, 1.6)),
    "mosaic": replace(NONE, mosaic=1.0, flip=0.5),
    "jitter": replace(NONE, jitter=1.0),
    "all of them": replace(Augmentation(), swap=0, thin=0, gain=0, noise=0, erase=0),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[PropheseeRecording]:
    folder = tmp_path_factory.mktemp("recordings")
    return [moving_boxes(folder, f"r{k}", seed=k) for k in range(4)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> CacheOptions:
    return CacheOptions(tmp_path_factory.mktemp("cache"))


def epoch(
    sources: list[PropheseeRecording],
    cache: CacheOptions,
    how: Augmentation,
    rules: TrainingBoxFilter = EVERYTHING,
) -> list[Batch]:
    options = LoaderOptions(cache, batch_size=6, slices=6, augmentation=how, box_filter=rules)
    training = RecordingLoader(sources, small_spec(), options)
    return [batch for number in range(4) for batch in epoch_of(training, number)]


def labelled_frames(batches: list[Batch]) -> list[tuple[NDArray[np.uint8], list[NDArray[np.float32]]]]:
    """Frames [2,h,w] that end at a label, and the boxes [M,4] of each class."""
    frames_and_boxes = []
    for batch in batches:
        for frames, targets in zip(batch.frames, batch.targets, strict=True):
            for index in torch.nonzero(targets.labelled).flatten().tolist():
                boxes = [
                    targets.xyxy[(targets.batch_index == index) & (targets.class_id == c)].numpy()
                    for c in (0, 1)
                ]
                frames_and_boxes.append((frames[index].numpy(), boxes))
    return frames_and_boxes


@pytest.mark.parametrize("name", GEOMETRY)
def test_boxes_follow_the_frames(name: str, sources: list[PropheseeRecording], cache: CacheOptions) -> None:
    within_px = 0.1 if name in ("none", "flip", "move", "jitter") else 1.6
    found = labelled_frames(epoch(sources, cache, GEOMETRY[name]))
    assert len(found) > 100
    for frame, boxes in found:
        for class_id in (0, 1):
            assert agree(frame[class_id] > 0, boxes[class_id], within_px)
            assert (boxes[class_id] >= 0).all()
            assert (boxes[class_id] <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
            assert (boxes[class_id][:, 2:] > boxes[class_id][:, :2]).all()
    sides = {tuple(b[2:] - b[:2]) for _, boxes in found for own in boxes for b in own}
    assert len(sides) > 40


def test_mosaic_is_composed_of_four_clips(sources: list[PropheseeRecording], cache: CacheOptions) -> None:
    batches = epoch(sources, cache, GEOMETRY["mosaic"])
    boxes = Counter[int]()
    for batch in batches:
        for targets in batch.targets:
            for index in torch.nonzero(targets.labelled).flatten().tolist():
                number = int((targets.batch_index == index).sum())
                assert index < 3 or number == 2, "streams have no mosaic"
                boxes[number] += index < 3
    assert max(boxes) >= 7
    assert np.average(list(boxes), weights=list(boxes.values())) > 4


def test_jitter_changes_the_length_of_slices(sources: list[PropheseeRecording], cache: CacheOptions) -> None:
    seen = Counter[float]()
    for frame, _ in labelled_frames(epoch(sources, cache, GEOMETRY["jitter"])):
        seen.update(np.unique(frame[frame > 0] / STEP / COUNTS).tolist())
    assert set(seen) == {0.5, 1.0, 1.5}
    assert min(seen.values()) > 10


def test_swapped_polarities_keep_their_boxes(sources: list[PropheseeRecording], cache: CacheOptions) -> None:
    for frame, boxes in labelled_frames(epoch(sources, cache, replace(NONE, swap=1.0))):
        assert agree(frame[1] > 0, boxes[0], 0.1)
        assert agree(frame[0] > 0, boxes[1], 0.1)


def covered(frame: NDArray[np.uint8], boxes: list[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Return the values of all pixels within the boxes of their class; all pixels outside are zero."""
    inside = np.stack([mask_of(own, 0) for own in boxes])
    assert not frame[~inside].any()
    return frame[inside]


def test_thinning_drops_events_and_adds_none(sources: list[PropheseeRecording], cache: CacheOptions) -> None:
    how = replace(NONE, thin=1.0, keep=(0.7, 0.7))
    values = np.concatenate([covered(*each) for each in labelled_frames(epoch(sources, cache, how))])
    assert set(values) == {0, STEP, 2 * STEP}
    shares = np.bincount(values // STEP) / len(values)
    assert shares == pytest.approx([0.3**2, 2 * 0.3 * 0.7, 0.7**2], abs=0.01)


def test_gain_keeps_integer_counts_and_the_mean(
    sources: list[PropheseeRecording], cache: CacheOptions
) -> None:
    how = replace(NONE, gain=1.0, contrast=(1.3, 1.3))
    values = np.concatenate([covered(*each) for each in labelled_frames(epoch(sources, cache, how))])
    assert set(values) == {2 * STEP, 3 * STEP}
    assert values.mean() == pytest.approx(1.3 * COUNTS * STEP, rel=0.01)


def test_noise_is_uniform_over_the_frame(sources: list[PropheseeRecording], cache: CacheOptions) -> None:
    quiet, noisy = (epoch(sources, cache, replace(NONE, noise=n, noise_events=0.01)) for n in (0.0, 1.0))
    added = torch.stack([b.frames.int() - a.frames.int() for a, b in zip(quiet, noisy, strict=True)])
    assert set(added.unique().tolist()) == {0, STEP}
    assert added.float().mean() / STEP == pytest.approx(0.01 / 2.5, rel=0.1)
    hit = (added > 0).sum((0, 1, 2))
    assert (hit > 0).float().mean() > 0.5
    assert all(
        torch.equal(x.xyxy, y.xyxy)
        for a, b in zip(quiet, noisy, strict=True)
        for x, y in zip(a.targets, b.targets, strict=True)
    )


def test_hot_pixels_stay_in_place_over_a_clip(sources: list[PropheseeRecording], cache: CacheOptions) -> None:
    """The share of hot pixels, and their events, against the binomial and geometric distributions."""
    how = replace(NONE, hot=1.0, hot_share=0.1, hot_events=(2.0, 2.0))
    added = np.concatenate(
        [
            (b.frames.int() - a.frames.int()).numpy().swapaxes(0, 1)
            for a, b in zip(epoch(sources, cache, NONE), epoch(sources, cache, how), strict=True)
        ]
    )  # [clips and streams, slices, polarities, h, w]
    assert (added >= 0).all()
    hit = added.sum(2) > 0
    ever = hit.any(1)
    assert ever.mean() == pytest.approx(0.05 * 0.9, rel=0.25), "the mean of 0 to 10 %, some never fire"
    assert hit.sum() / (6 * ever.sum()) > 0.5, "a pixel that fires once fires in most slices"


def test_strong_augmentation_stays_within_its_noise() -> None:
    rng, strong = np.random.default_rng(0), Augmentation.strong()
    sampled = [sample_intensity(strong, rng) for _ in range(2000)]
    noise = np.array([each.noise for each in sampled])
    assert noise.max() <= 0.05
    assert (noise > 0).mean() == pytest.approx(0.5, abs=0.05)
    assert noise[noise > 0].mean() == pytest.approx(0.05 / 2.5, rel=0.1)
    hot = [each.hot_pixels for each in sampled if each.hot_pixels]
    assert len(hot) / 2000 == pytest.approx(0.3, abs=0.05)
    assert max(each.share for each in hot) <= 0.003
    assert {sample_intensity(Augmentation.none(), rng).hot_pixels for _ in range(50)} == {None}


def test_erased_boxes_are_not_targets(sources: list[PropheseeRecording], cache: CacheOptions) -> None:
    how = replace(NONE, erase=1.0, erase_side=(0.5, 0.7))
    rules = replace(EVERYTHING, min_visible=0.4)
    kept = lost = 0
    for frame, boxes in labelled_frames(epoch(sources, cache, how, rules)):
        for class_id in (0, 1):
            for x0, y0, x1, y1 in boxes[class_id].astype(int):
                assert (frame[class_id, y0:y1, x0:x1] > 0).mean() >= 0.4
                kept += 1
            if not len(boxes[class_id]):
                assert (frame[class_id] > 0).sum() < 0.4 * 30 * 24
                lost += 1
    assert min(kept, lost) > 20


def test_augmentation_is_constant_until_reset(sources: list[PropheseeRecording], cache: CacheOptions) -> None:
    how = replace(NONE, swap=0.5)
    options = LoaderOptions(cache, batch_size=6, slices=6, augmentation=how, stream_share=0.5)
    swapped: dict[int, bool] = {}
    changes = Counter[str]()
    for batch in epoch_of(RecordingLoader(sources, small_spec(), options), 0):
        for k, targets in enumerate(batch.targets):
            for index in range(6):
                if batch.is_first[k, index]:
                    swapped.pop(index, None)
                if not targets.labelled[index]:
                    continue
                first = targets.xyxy[(targets.batch_index == index) & (targets.class_id == 0)].numpy()
                now = not agree(batch.frames[k, index, 0].numpy() > 0, first, 0.1)
                assert swapped.setdefault(index, now) == now
                changes[f"{now}"] += 1
    assert min(changes.values()) > 10
    assert len(changes) == 2
