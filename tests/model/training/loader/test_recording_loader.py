"""Recording loader: frames, targets and resets of the streams, and reproducible batches."""

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from spikewatch.ingest.open import open_recording
from spikewatch.model.errors import ConfigError, DatasetError
from spikewatch.model.training.augment.options import Augmentation
from spikewatch.model.training.datasets.prophesee import PropheseeRecording
from spikewatch.model.training.datasets.prophesee_labels import read_labels
from spikewatch.model.training.loader.batch import Batch
from spikewatch.model.training.loader.recording_loader import LoaderOptions, RecordingLoader
from spikewatch.model.training.slice_cache.cache import CacheOptions
from tests.model.training.support.fakes import epoch_of
from tests.model.training.support.moving_boxes import HEIGHT, SLICE_US, WIDTH, moving_boxes, small_spec

SPEC = small_spec()
SLICES = 24
"""Of each recording: 12 labels, one after every second slice."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[PropheseeRecording]:
    folder = tmp_path_factory.mktemp("recordings")
    return [moving_boxes(folder, f"r{k}", seed=k) for k in range(5)]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> LoaderOptions:
    cache = CacheOptions(tmp_path_factory.mktemp("cache"))
    return LoaderOptions(cache, batch_size=4, slices=5, augmentation=Augmentation.none())


def slices_of(source: PropheseeRecording) -> list[NDArray[np.int64]]:
    """Counts [2,H,W] of each slice, from the events alone."""
    with open_recording(source.events) as recording:
        events = np.concatenate(list(recording.chunks()))
    slices = []
    for k in range(SLICES):
        counts = np.zeros((2, HEIGHT, WIDTH), np.int64)
        own = events[(events["t"] >= k * SLICE_US) & (events["t"] < (k + 1) * SLICE_US)]
        np.add.at(counts, (own["p"], own["y"], own["x"]), 1)
        slices.append(counts)
    return slices


@pytest.fixture(scope="module")
def known(sources: list[PropheseeRecording]) -> dict[bytes, tuple[int, int]]:
    """Frame -> (recording, label); all frames differ."""
    frames = {}
    for which, source in enumerate(sources):
        for k, counts in enumerate(slices_of(source)):
            frames.setdefault((counts * 31).astype(np.uint8).tobytes(), (which, k // 2))
    assert len(frames) == 5 * 12, "two slices for each label"
    return frames


def place(batch: Batch, k: int, index: int, known: dict[bytes, tuple[int, int]]) -> tuple[int, int] | None:
    """Recording and label of a frame; None if it is blank."""
    frame = batch.frames[k, index]
    return known[frame.numpy().tobytes()] if frame.any() else None


def boxes_of(batch: Batch, k: int, index: int) -> list[list[float]]:
    targets = batch.targets[k]
    return targets.xyxy[targets.batch_index == index].tolist()


def test_frames_and_targets_equal_slices_and_labels(
    sources: list[PropheseeRecording], options: LoaderOptions, known: dict[bytes, tuple[int, int]]
) -> None:
    training = RecordingLoader(sources, SPEC, options)
    labels = [read_labels(each.labels, 2) for each in sources]
    seen = Counter[tuple[int, int]]()
    for batch in epoch_of(training, 0):
        assert batch.levels == 248
        assert (batch.frames.shape, batch.frames.dtype) == ((5, 4, 2, HEIGHT, WIDTH), torch.uint8)
        for k in range(5):
            targets = batch.targets[k]
            assert (targets.xyxy.dtype, targets.batch_index.dtype, targets.class_id.dtype) == (
                torch.float32,
                torch.int64,
                torch.int64,
            )
            for index in torch.nonzero(targets.labelled).flatten().tolist():
                at = place(batch, k, index, known)
                assert at is not None
                rows = labels[at[0]][2 * at[1] : 2 * at[1] + 2]
                xyxy = [[r["x"], r["y"], r["x"] + r["w"], r["y"] + r["h"]] for r in rows]
                assert boxes_of(batch, k, index) == xyxy
                assert targets.class_id[targets.batch_index == index].tolist() == [0, 1]
                seen[at] += 1
            assert set(targets.batch_index.tolist()) <= set(
                torch.nonzero(targets.labelled).flatten().tolist()
            )
    assert len(seen) == 60


def test_streams_continue_and_clips_are_reset(
    sources: list[PropheseeRecording], options: LoaderOptions, known: dict[bytes, tuple[int, int]]
) -> None:
    training = RecordingLoader(sources, SPEC, options)
    batches = list(epoch_of(training, 1))
    assert len(batches) == training.batches_per_epoch == 5 * SLICES // (2 * 5)
    assert all(batch.is_first[0, :2].all() and not batch.is_first[1:, :2].any() for batch in batches)
    seen = Counter[tuple[int, int] | None]()
    for index in (2, 3):
        before: tuple[int, int] | None = None
        for batch in batches:
            for k in range(5):
                at = place(batch, k, index, known)
                assert at is not None
                seen[at] += 1
                if batch.is_first[k, index]:
                    assert before is None or before[1] == 11, "the previous recording ran to its end"
                    assert before is None or at[1] == 0
                else:
                    assert before is not None
                    assert at in (before, (before[0], before[1] + 1))
                before = at
    assert set(seen.values()) == {2}, "every slice once, and there are two for each label"
    assert len(seen) == 60


def test_random_clips_cover_each_label_about_once(
    sources: list[PropheseeRecording], options: LoaderOptions, known: dict[bytes, tuple[int, int]]
) -> None:
    clips_only = replace(options, stream_share=0.0)
    training = RecordingLoader(sources, SPEC, clips_only)
    seen = Counter[tuple[int, int]]()
    for batch in epoch_of(training, 0):
        assert batch.is_first[0].all()
        for k in range(5):
            for index in torch.nonzero(batch.targets[k].labelled).flatten().tolist():
                at = place(batch, k, index, known)
                assert at is not None
                seen[at] += 1
    assert len(seen) >= 57
    assert max(seen.values()) <= 3
    assert np.mean(list(seen.values())) < 1.6


def same(a: Batch, b: Batch) -> bool:
    targets = zip(a.targets, b.targets, strict=True)
    return (
        torch.equal(a.frames, b.frames)
        and torch.equal(a.is_first, b.is_first)
        and all(
            torch.equal(getattr(x, name), getattr(y, name))
            for x, y in targets
            for name in ("labelled", "batch_index", "xyxy", "class_id")
        )
    )


@pytest.mark.parametrize("how", [Augmentation.none(), Augmentation(mosaic=0.5)], ids=["none", "all"])
def test_batches_depend_on_seed_epoch_rank_and_world_only(
    sources: list[PropheseeRecording], options: LoaderOptions, how: Augmentation
) -> None:
    options = replace(options, augmentation=how)
    training = RecordingLoader(sources, SPEC, options)
    first = list(epoch_of(training, 3))
    next(epoch_of(training, 4))
    copy = pickle.loads(pickle.dumps(training))
    other = RecordingLoader(sources, SPEC, replace(options, memory_bytes=0))
    for repeated in (training, copy, other):
        again = list(epoch_of(repeated, 3))
        assert len(again) == len(first)
        assert all(same(*pair) for pair in zip(first, again, strict=True))
    assert same(first[7], copy.batch(3, 7)), "any batch by itself"
    assert not same(first[0], training.batch(4, 0))
    assert not same(first[0], training.batch(3, 0, 1, 2))
    assert not same(first[0], RecordingLoader(sources, SPEC, replace(options, seed=1)).batch(3, 0))


def test_processes_share_an_epoch(
    sources: list[PropheseeRecording], options: LoaderOptions, known: dict[bytes, tuple[int, int]]
) -> None:
    training = RecordingLoader(sources, SPEC, replace(options, world_size=3))
    assert training.batches_per_epoch == 4
    seen = Counter(
        place(batch, k, index, known)
        for rank in range(3)
        for batch in epoch_of(training, 0, rank, 3)
        for k in range(5)
        for index in (2, 3)
    )
    assert sum(seen.values()) == 120
    assert set(seen.values()) == {2}


class _Steps(Dataset[Batch]):
    """Dataset of the batches of one epoch."""

    def __init__(self, training: RecordingLoader) -> None:
        self._training = training

    def __len__(self) -> int:
        return self._training.batches_per_epoch

    def __getitem__(self, step: int) -> Batch:
        return self._training.batch(0, step)


@pytest.mark.parametrize(("context", "memory_bytes"), [("fork", 0), ("fork", 1 << 30), ("spawn", 1 << 30)])
def test_workers_give_equal_batches(
    sources: list[PropheseeRecording], options: LoaderOptions, context: str, memory_bytes: int
) -> None:
    """Workers forked after this process read from the same files, and spawned workers."""
    training = RecordingLoader(sources, SPEC, replace(options, batches=3, memory_bytes=memory_bytes))
    expected = list(epoch_of(training, 0))
    loader = DataLoader(_Steps(training), batch_size=None, num_workers=2, multiprocessing_context=context)
    assert all(same(*pair) for pair in zip(expected, loader, strict=True))


def test_batches_option_shortens_an_epoch(sources: list[PropheseeRecording], options: LoaderOptions) -> None:
    training = RecordingLoader(sources, SPEC, replace(options, batches=2))
    assert training.batches_per_epoch == len(list(epoch_of(training, 0))) == 2


def test_warm_up_slices_have_no_targets(sources: list[PropheseeRecording], options: LoaderOptions) -> None:
    training = RecordingLoader(sources, SPEC, replace(options, stream_share=0.0, warm_up=2))
    targets = [t for batch in epoch_of(training, 0) for t in batch.targets]
    labelled = torch.stack([t.labelled for t in targets]).view(-1, 5, 4)
    assert not labelled[:, :2].any()
    assert all(labelled[:, k].any() for k in (2, 3, 4))


def test_rare_classes_are_repeated(tmp_path: Path, options: LoaderOptions) -> None:
    sources = [moving_boxes(tmp_path, f"r{k}", seed=k) for k in range(6)]
    for source in sources[1:]:
        labels = read_labels(source.labels, 2)
        np.save(source.labels, labels[labels["class_id"] == 0])
    shares = []
    for threshold in (0.0, 1.0):
        chosen = replace(options, stream_share=0.0, repeat_below=threshold)
        training = RecordingLoader(sources, SPEC, chosen)
        targets = [t for epoch in range(8) for batch in epoch_of(training, epoch) for t in batch.targets]
        shares.append(np.mean(np.concatenate([t.class_id for t in targets])))
    assert shares == pytest.approx([12 / 84, 12 * 6**0.5 / (60 + 24 * 6**0.5)], rel=0.1)


def test_labelled_frame_without_boxes_is_a_target(tmp_path: Path, options: LoaderOptions) -> None:
    """A label without a size marks its time as labelled without objects."""
    source = moving_boxes(tmp_path, "empty")
    labels = read_labels(source.labels, 2)
    labels["w"] = labels["h"] = 0
    np.save(source.labels, labels)
    batch = next(epoch_of(RecordingLoader([source], SPEC, options), 0))
    assert any(t.labelled.any() for t in batch.targets)
    assert all(t.batch_index.numel() == 0 for t in batch.targets)


def test_recordings_without_labels_are_rejected(tmp_path: Path, options: LoaderOptions) -> None:
    source = moving_boxes(tmp_path, "a")
    config = replace(SPEC.config, in_channels=3)
    still = replace(SPEC, name="still", representation="image", config=config)
    with pytest.raises(ConfigError, match="input is events, but still takes images"):
        RecordingLoader([source], still, options)
    np.save(source.labels, read_labels(source.labels, 2)[:0])
    with pytest.raises(DatasetError, match="1 recordings, but none with a box"):
        RecordingLoader([source], SPEC, options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("slices", 0),
        ("stream_share", 1.1),
        ("warm_up", 5),
        ("batches", 0),
        ("world_size", 0),
        ("seed", -1),
    ],
)
def test_invalid_options_are_rejected(options: LoaderOptions, name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} {value}"):
        replace(options, **{name: value})  # type: ignore[arg-type]
