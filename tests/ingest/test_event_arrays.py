"""Arrays of a caller as events: which are converted, and which are rejected."""

from typing import Any

import numpy as np
import pytest

from spikewatch.ingest.errors import FormatError, GeometryError
from spikewatch.ingest.event_arrays import as_events
from spikewatch.ingest.events import EVENT_DTYPE

ROWS = [(1, 0, 7, 0), (5, 3, 8, 1), (900, 65_535, 9, 1)]
T, X, Y, P = (np.array(column) for column in zip(*ROWS, strict=True))


def test_event_array_is_returned_as_it_is() -> None:
    events = np.array(ROWS, EVENT_DTYPE)
    assert as_events(events) is events


@pytest.mark.parametrize("types", ["qqqq", "IHHB", "QIIb", "qqq?"])
def test_columns_of_integer_types_become_events(types: str) -> None:
    columns = [column.astype(kind) for column, kind in zip((T, X, Y, P), types, strict=True)]
    assert as_events(*columns).tolist() == ROWS


def test_plain_lists_and_no_events_are_accepted() -> None:
    assert as_events([1, 5, 900], X, Y, [-1, 1, 1]).tolist() == ROWS
    assert len(as_events([], [], [], [])) == 0


def test_other_structured_arrays_are_converted_by_name() -> None:
    packed = np.array([(p, y, x, t) for t, x, y, p in ROWS], "u1,u2,u2,u4")
    packed.dtype.names = ("p", "y", "x", "t")
    assert as_events(packed).tolist() == ROWS


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ((T,), r"got an array of int64 \(3,\); expected an array of EVENT_DTYPE, or four arrays"),
        ((T, X), "some of the columns"),
        ((np.zeros((2, 2), EVENT_DTYPE),), r"\(2, 2\)"),
        ((T, X[:2], Y, P), r"shapes \[\(3,\), \(2,\)"),
        ((T / 1e6, X, Y, P), "column t is float64; expected integer microseconds"),
        ((T, X * 1.0, Y, P), "column x is float64; expected integer pixels"),
        ((T, X, Y, P * 1.0), "column p is float64"),
    ],
)
def test_arrays_that_are_no_events_are_rejected(columns: tuple[Any, ...], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        as_events(*columns)


@pytest.mark.parametrize("x", [-1, 65_536, 2**32])
def test_coordinates_that_would_wrap_are_rejected(x: int) -> None:
    with pytest.raises(GeometryError, match=f"x is .*{x}"):
        as_events(T, np.array([0, x, 5]), Y, P)
