"""Streams cover each slice once, clips cover each label once, rare classes are repeated."""

from collections import Counter

import numpy as np
import pytest

from spikewatch.model.training.augment.time_jitter import jittered_bounds
from spikewatch.model.training.loader.clips import ClipShape, repeat_factors, tile_clips
from spikewatch.model.training.loader.streams import StreamSchedule, StreamSegment
from spikewatch.model.training.slice_cache.preprocess import SliceGrid

LENGTHS = (7, 1, 30, 12, 5)


def segments_of(
    schedule: StreamSchedule, streams: int, batches: int, slices: int
) -> list[list[list[StreamSegment]]]:
    """Segments by stream and batch."""
    return [
        [list(schedule.segments(stream, streams, batch * slices, slices)) for batch in range(batches)]
        for stream in range(streams)
    ]


@pytest.mark.parametrize(("streams", "slices"), [(1, 5), (5, 11), (11, 5), (55, 1)])
def test_epoch_covers_every_slice_once(streams: int, slices: int) -> None:
    for seed in range(5):
        schedule = StreamSchedule(LENGTHS, np.random.default_rng(seed))
        batches = sum(LENGTHS) // (streams * slices)
        segments = [
            segment
            for stream in segments_of(schedule, streams, batches, slices)
            for batch in stream
            for segment in batch
        ]
        seen = Counter(
            (segment.recording, at) for segment in segments for at in range(segment.start, segment.stop)
        )
        assert seen == Counter((which, at) for which, length in enumerate(LENGTHS) for at in range(length))


def test_stream_continues_and_resets_at_recording_starts() -> None:
    schedule = StreamSchedule(LENGTHS, np.random.default_rng(0))
    for stream in segments_of(schedule, streams=3, batches=9, slices=8):
        before: StreamSegment | None = None
        for batch in stream:
            assert [segment.k for segment in batch] == np.cumsum(
                [0, *(segment.stop - segment.start for segment in batch)]
            )[:-1].tolist()
            assert sum(segment.stop - segment.start for segment in batch) == 8
            for segment in batch:
                follows = before is not None and (before.recording, before.stop) == (
                    segment.recording,
                    segment.start,
                )
                assert segment.is_first == (before is None or segment.start == 0)
                assert follows or segment.is_first
                if before is not None:
                    assert (segment.visit_id == before.visit_id) == follows
                    assert follows or before.stop == LENGTHS[before.recording]
                before = segment


def test_order_depends_on_the_seed() -> None:
    order = {
        tuple(
            segment.recording
            for segment in StreamSchedule(LENGTHS, np.random.default_rng(seed)).segments(0, 1, 0, 55)
        )
        for seed in range(20)
    }
    assert len(order) > 10


LABELLED = {
    "every second": np.arange(3, 80, 2),
    "every slice": np.arange(3, 40),
    "with gaps": np.array([3, 5, 40, 41, 42, 90, 200]),
    "one": np.array([4]),
    "late": np.array([500]),
}


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize("shape", [ClipShape(8, 0), ClipShape(8, 3), ClipShape(1, 0), ClipShape(6, 5)])
def test_clips_contain_each_label_once(name: str, shape: ClipShape) -> None:
    labelled = LABELLED[name]
    slices = int(labelled[-1]) + 1
    for seed in range(20):
        starts = tile_clips(labelled, slices, shape, np.random.default_rng(seed))
        taught = [(start + shape.warm_up <= labelled) & (labelled < start + shape.slices) for start in starts]
        times = np.sum(taught, 0)
        assert times.min() >= 1
        assert all(any(each) for each in taught), "a clip without a label"
        assert (starts <= slices - shape.slices).all()
        if shape.slices <= slices:
            ends_early = starts < slices - shape.slices
            assert (np.sum([t for t, early in zip(taught, ends_early, strict=True) if early], 0) <= 1).all()
        assert times.sum() <= len(labelled) + shape.slices


def test_clips_start_at_any_phase() -> None:
    starts = {
        tile_clips(np.arange(20, 90, 4), 90, ClipShape(8, 0), np.random.default_rng(s))[0] for s in range(200)
    }
    assert starts == set(range(13, 21))


def test_short_recording_has_blank_slices_before() -> None:
    assert tile_clips(np.array([3, 5]), 6, ClipShape(10, 0), np.random.default_rng(0)).tolist() == [-4]


def test_rare_classes_are_repeated_as_in_the_paper() -> None:
    presence = [np.zeros((60, 3), bool), np.zeros((40, 3), bool)]
    presence[0][:, 0] = True
    presence[1][:4, 1] = True
    presence[1][0, 0] = True
    first, second = repeat_factors(presence, 0.16)
    np.testing.assert_allclose(first, 1)
    np.testing.assert_allclose(second[:4], np.sqrt(0.16 / 0.04))
    np.testing.assert_allclose(second[4:], 1)
    assert all((each == 1).all() for each in repeat_factors(presence, 0.0))


def test_jittered_boundaries_keep_labels_and_slices() -> None:
    grid = SliceGrid(np.arange(31), np.array([3, 4, 9, 20, 29]))
    seen = Counter[int]()
    for seed in range(200):
        bounds = jittered_bounds(grid, np.random.default_rng(seed))
        np.testing.assert_array_equal(bounds[grid.labelled + 1], 2 * (grid.labelled + 1))
        assert bounds[0] == 0
        seen.update(np.diff(bounds).tolist())
    assert set(seen) == {1, 2, 3}
    assert seen[1] > 500
    assert seen[3] > 500
