"""Clutter is added to the frames of some streams, and changes nothing else."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spikewatch.model.errors import DatasetError
from spikewatch.model.training.augment.options import Augmentation
from spikewatch.model.training.datasets.prophesee import PropheseeRecording
from spikewatch.model.training.datasets.prophesee_labels import read_labels
from spikewatch.model.training.loader.clutter import ClutteredLoader
from spikewatch.model.training.loader.recording_loader import LoaderOptions, RecordingLoader
from spikewatch.model.training.slice_cache.cache import CacheOptions
from tests.model.training.support.moving_boxes import moving_boxes, small_spec

SPEC = small_spec()


def without_objects(folder: Path, name: str, seed: int) -> PropheseeRecording:
    """Moving boxes, of which the labels say nothing but that their times are empty."""
    source = moving_boxes(folder, name, seed=seed)
    boxes = read_labels(source.labels, 2)
    np.save(folder / f"{name}_times.npy", np.unique(boxes["t"]))
    np.save(source.labels, boxes[:0])
    return source


@pytest.fixture(scope="module")
def loaders(tmp_path_factory: pytest.TempPathFactory) -> tuple[RecordingLoader, RecordingLoader]:
    folder = tmp_path_factory.mktemp("recordings")
    options = LoaderOptions(
        CacheOptions(folder / "cache"), batch_size=8, slices=4, augmentation=Augmentation.none()
    )
    labelled = [moving_boxes(folder, f"r{k}", labels=60, seed=k) for k in range(2)]
    empty = [without_objects(folder, f"c{k}", 9 + k) for k in range(2)]
    few = replace(options, batch_size=2, require_boxes=False)
    return RecordingLoader(labelled, SPEC, options), RecordingLoader(empty, SPEC, few)


def test_clutter_is_added_to_its_share_of_streams(loaders: tuple[RecordingLoader, RecordingLoader]) -> None:
    plain, clutter = loaders
    both = pickle.loads(pickle.dumps(ClutteredLoader(plain, clutter)))
    assert both.batches_per_epoch == plain.batches_per_epoch > clutter.batches_per_epoch
    chosen, brighter = set(), 0
    for step in range(both.batches_per_epoch):
        before, after = plain.batch(1, step), both.batch(1, step)
        assert torch.equal(after.frames, both.batch(1, step).frames)
        added = after.frames.int() - before.frames.int()
        assert (added >= 0).all()
        assert after.frames.max() <= int(after.levels)
        changed = set(torch.nonzero(added.sum((0, 2, 3, 4))).flatten().tolist())
        assert len(changed) <= 2
        assert {stream for stream in changed if stream < 4} <= {0}, "one random clip"
        chosen |= changed
        brighter += len(changed)
        for a, b in zip(before.targets, after.targets, strict=True):
            assert torch.equal(a.xyxy, b.xyxy)
            assert torch.equal(a.labelled, b.labelled)
    assert brighter > both.batches_per_epoch
    assert len(chosen) >= 2


def test_sum_equals_both_parts_up_to_the_cap(loaders: tuple[RecordingLoader, RecordingLoader]) -> None:
    plain, clutter = loaders
    both = ClutteredLoader(plain, clutter)
    before, after, other = plain.batch(0, 0), both.batch(0, 0), clutter.batch(0, 0)
    stream = int(torch.nonzero((after.frames != before.frames).sum((0, 2, 3, 4))[4:]).flatten()[0]) + 4
    expected = (before.frames[:, stream].int() + other.frames[:, 1].int()).clamp_max(int(before.levels))
    assert torch.equal(after.frames[:, stream].int(), expected)
    assert other.frames[:, 1].any()


def test_recordings_without_boxes_are_for_clutter_only(tmp_path: Path) -> None:
    source = without_objects(tmp_path, "a", 0)
    options = LoaderOptions(CacheOptions(tmp_path / "cache"), batch_size=2, slices=4)
    with pytest.raises(DatasetError, match="none with a box"):
        RecordingLoader([source], SPEC, options)
    loader = RecordingLoader([source], SPEC, replace(options, require_boxes=False))
    assert all(targets.labelled.any() or k % 2 == 0 for k, targets in enumerate(loader.batch(0, 0).targets))
