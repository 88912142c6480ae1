import numpy as np
import pytest

from spikewatch.ingest.frames import windows
from spikewatch.ingest.slicer import Slice


def slices(count, jumps=()):
    for k in range(count):
        frame = np.full((2, 3, 4), k, np.uint16)
        yield Slice(10 * k, 10 * k + 10, frame, n_events=k, discontinuity=k in jumps)


def spans(*args, **options):
    return [(window.t0_us, window.t1_us) for window in windows(*args, **options)]


def test_side_by_side():
    first, second = windows(slices(9), 4)
    assert (first.t0_us, first.t1_us, first.n_events) == (0, 40, 0 + 1 + 2 + 3)
    assert first.frames.shape == (4, 2, 3, 4)
    assert second.frames[:, 0, 0, 0].tolist() == [4, 5, 6, 7]


def test_the_slices_that_fill_no_window():
    assert spans(slices(9), 4) == [(0, 40), (40, 80)]
    assert spans(slices(9), 4, keep_partial=True) == [(0, 40), (40, 80), (80, 90)]
    assert spans(slices(3), 4) == []
    assert spans(slices(0), 4, keep_partial=True) == []


def test_overlap():
    assert spans(slices(6), 4, 1) == [(0, 40), (10, 50), (20, 60)]
    assert spans(slices(6), 4, 1, keep_partial=True) == [(0, 40), (10, 50), (20, 60)]
    assert spans(slices(7), 4, 2, keep_partial=True) == [(0, 40), (20, 60), (40, 70)]


def test_no_window_spans_a_discontinuity():
    assert spans(slices(8, jumps={3}), 4) == [(30, 70)]
    assert spans(slices(8, jumps={3}), 4, keep_partial=True) == [(0, 30), (30, 70), (70, 80)]


def test_windows_are_lazy():
    assert next(windows(slices(10**9), 2)).t1_us == 20


@pytest.mark.parametrize(("T", "hop"), [(0, None), (4, 0), (4, 5)])
def test_wrong_numbers(T, hop):
    with pytest.raises(ValueError, match="1 <= hop <= T"):
        windows(slices(3), T, hop)
