from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewatch.ingest.errors import GeometryError, TimeOrderError
from spikewatch.ingest.slicing.slicer import TimeSlicer
from tests.ingest.support.cases import HEIGHT, WIDTH, as_array, sorted_events
from tests.ingest.support.slices import equal, jittered


def cut(events, parts, slicer):
    slices = [slice_ for chunk in parts for slice_ in slicer.push(events[chunk])]
    last = slicer.flush()
    return slices + ([] if last is None else [last])


def make(slice_us=10_000, **options):
    return TimeSlicer(slice_us, WIDTH, HEIGHT, **options)


@given(
    events=jittered,
    cuts=st.lists(st.integers(0, 200), max_size=6),
    representation=st.sampled_from(["polarity_counts", "latest_polarity"]),
    slice_us=st.sampled_from([3_000, 10_000, 500_000]),
    max_gap_us=st.sampled_from([0, 100_000, 10_000_000]),
    origin_us=st.sampled_from([0, 1, -77]),
)
@settings(max_examples=60, deadline=None)
def test_slices_are_complete_and_independent_of_chunking(
    events, cuts, representation, slice_us, max_gap_us, origin_us
):
    events = as_array(events)
    options = {"representation": representation, "max_gap_us": max_gap_us, "origin_us": origin_us}
    edges = [0, *sorted(min(place, len(events)) for place in cuts), len(events)]
    slicer = make(slice_us, **options)
    slices = cut(events, [slice(a, b) for a, b in pairwise(edges)], slicer)
    assert sum(slice_.n_events for slice_ in slices) == len(events)
    assert slicer.stats.events_in == slicer.stats.events_out == len(events)
    if representation == "polarity_counts":
        assert sum(int(slice_.frame.sum()) for slice_ in slices) == len(events)

    whole = make(slice_us, **options)
    assert equal(cut(events, [slice(None)], whole), slices)
    assert whole.stats == slicer.stats
    assert sum(slice_.discontinuity for slice_ in slices) == slicer.stats.gaps
    for before, after in pairwise(slices):
        assert (before.t1_us == after.t0_us) != after.discontinuity
    assert all((slice_.t0_us - origin_us) % slice_us == 0 for slice_ in slices)
    assert all(slice_.t1_us - slice_.t0_us == slice_us for slice_ in slices)


@given(events=sorted_events())
@settings(max_examples=30, deadline=None)
def test_slices_equal_plain_counting(events):
    for slice_ in cut(as_array(events), [slice(None)], make()):
        expected = np.zeros((2, HEIGHT, WIDTH), int)
        for t, x, y, p in events:
            if slice_.t0_us <= t < slice_.t1_us:
                expected[p, y, x] += 1
        assert (slice_.frame == expected).all()


def test_slices_are_half_open_and_start_at_first_event():
    slices = cut(as_array([(29_999, 0, 0, 1), (30_000, 0, 0, 1)]), [slice(None)], make())
    assert [(slice_.t0_us, slice_.t1_us, slice_.n_events) for slice_ in slices] == [
        (20_000, 30_000, 1),
        (30_000, 40_000, 1),
    ]


def test_empty_slices_are_emitted():
    slices = cut(as_array([(0, 0, 0, 1), (45_000, 0, 0, 1)]), [slice(None)], make())
    assert [slice_.n_events for slice_ in slices] == [1, 0, 0, 0, 1]
    assert slices[2].frame.sum() == 0


def test_slices_of_long_gap_are_lazy():
    slicer = make(1, max_gap_us=10**12)
    slices = slicer.push(as_array([(0, 0, 0, 1), (10**12, 0, 0, 1)]))
    assert [next(slices).t0_us for _ in range(100)] == list(range(100))
    with pytest.raises(RuntimeError, match="not consumed"):
        slicer.push(as_array([]))
    with pytest.raises(RuntimeError, match="not consumed"):
        slicer.flush()


def test_gap_beyond_limit_is_skipped_and_counted():
    slicer = make(max_gap_us=100_000)
    slices = cut(as_array([(0, 0, 0, 1), (110_001, 0, 0, 1), (120_000, 0, 0, 1)]), [slice(None)], slicer)
    assert [(slice_.t0_us, slice_.discontinuity) for slice_ in slices] == [
        (0, False),
        (110_000, True),
        (120_000, False),
    ]
    assert slicer.stats.gaps == 1


@pytest.mark.parametrize(("pause_us", "gaps"), [(99_999, 0), (100_000, 1)])
def test_gap_of_exactly_the_limit_counts(pause_us: int, gaps: int) -> None:
    slicer = make(max_gap_us=100_000)
    cut(as_array([(9_999, 0, 0, 1), (10_000 + pause_us, 0, 0, 1)]), [slice(None)], slicer)
    assert slicer.stats.gaps == gaps


def test_late_event_goes_into_open_slice():
    slicer = make(max_late_us=5_000)
    slices = cut(as_array([(12_000, 0, 0, 1), (5_000, 1, 0, 1), (15_000, 2, 0, 1)]), [slice(None)], slicer)
    assert [slice_.n_events for slice_ in slices] == [3]
    assert slicer.stats.late == 1


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ((4_999, 1, 0, 1), TimeOrderError, "4999 us arrived in the slice that begins at 10000 us"),
        ((12_000, WIDTH, 0, 1), GeometryError, "x=304, y=0 is off the 304x240"),
        ((99_000, 0, HEIGHT, 1), GeometryError, "x=0, y=240"),
        ((2**62, 0, 0, 1), TimeOrderError, "us is out of range"),
        ((-(2**63), 0, 0, 1), TimeOrderError, "arrived in the slice"),
    ],
)
def test_rejected_event_leaves_slicer_unchanged(bad, error, message):
    slicer = make(max_late_us=5_000, on_time_jump="fail")
    with pytest.raises(error, match=message):
        list(slicer.push(as_array([(12_000, 0, 0, 1), (13_000, 0, 0, 1), bad, (14_000, 0, 0, 1)])))
    assert slicer.stats.events_in == 2
    assert list(slicer.push(as_array([(14_000, 0, 0, 1)]))) == []
    assert slicer.flush().n_events == 3


def test_first_event_out_of_range_is_rejected():
    slicer = make()
    with pytest.raises(TimeOrderError, match="us is out of range"):
        list(slicer.push(as_array([(-(2**63), 0, 0, 1)])))
    assert slicer.flush() is None


@pytest.mark.parametrize("options", [{"slice_us": 0}, {"max_gap_us": -1}, {"max_late_us": -1}])
def test_durations_out_of_bounds_are_rejected(options):
    with pytest.raises(ValueError, match="slice_us of 1 or more"):
        make(**options)


def test_invalid_size_and_representation_are_rejected():
    with pytest.raises(GeometryError, match="0x5"):
        TimeSlicer(1000, 0, 5)
    with pytest.raises(ValueError, match="expected one of polarity_counts, latest_polarity"):
        TimeSlicer(1000, 5, 5, "voxels")


def test_jump_back_continues_on_the_grid_and_is_counted():
    slicer = make(origin_us=3)
    events = as_array([(t, 0, 0, 1) for t in (5_000_000, 5_012_000, 1, 2, 25_000)])
    slices = cut(events, [slice(0, 3), slice(3, 5)], slicer)
    assert [(slice_.t0_us, slice_.n_events, slice_.discontinuity) for slice_ in slices] == [
        (4_990_003, 1, False),
        (5_000_003, 0, False),
        (5_010_003, 1, False),
        (-9_997, 2, True),
        (3, 0, False),
        (10_003, 0, False),
        (20_003, 1, False),
    ]
    assert all((slice_.t0_us - 3) % 10_000 == 0 for slice_ in slices)
    assert sum(slice_.n_events for slice_ in slices) == slicer.stats.events_out == 5
    assert (slicer.stats.time_jumps, slicer.stats.gaps) == (1, 0)


def test_stray_time_in_the_future_is_two_discontinuities():
    slicer = make()
    slices = cut(as_array([(t, 0, 0, 1) for t in (0, 10**12, 5_000, 15_000)]), [slice(None)], slicer)
    assert [(slice_.t0_us, slice_.n_events, slice_.discontinuity) for slice_ in slices] == [
        (0, 1, False),
        (10**12, 1, True),
        (0, 1, True),
        (10_000, 1, False),
    ]
    assert (slicer.stats.gaps, slicer.stats.time_jumps) == (1, 1)


@given(
    times=st.lists(st.integers(0, 30).map(lambda t: t * 200_000), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_chunking_does_not_change_slices_across_jumps(times, cuts):
    events = as_array([(t, t // 200_000, i % HEIGHT, 1) for i, t in enumerate(times)])
    edges = [0, *sorted(min(place, len(events)) for place in cuts), len(events)]
    whole, parted = make(100_000), make(100_000)
    slices = cut(events, [slice(a, b) for a, b in pairwise(edges)], parted)
    assert equal(cut(events, [slice(None)], whole), slices)
    assert whole.stats == parted.stats
    assert sum(slice_.n_events for slice_ in slices) == len(events)
    assert sum(slice_.discontinuity for slice_ in slices) == parted.stats.time_jumps


def test_unknown_policy_is_rejected():
    with pytest.raises(ValueError, match="'stop': expected resync or fail"):
        make(on_time_jump="stop")


def test_start_us_adds_blank_slices_before_first_event():
    events = as_array([(5_000, 1, 1, 1), (15_000, 2, 1, 0), (47_000, 3, 1, 1)])
    whole = cut(events, [slice(0, 3)], make())
    rest = cut(events, [slice(2, 3)], make(start_us=20_000))
    assert [slice_.t0_us for slice_ in rest] == [20_000, 30_000, 40_000]
    assert equal(rest, whole[2:])
