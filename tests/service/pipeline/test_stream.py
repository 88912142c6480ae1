"""`DetectionStream`: any split of the events gives the results of the whole, and so does any snapshot."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewatch.ingest.errors import FormatError, GeometryError, TimeOrderError
from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.model.errors import ConfigError
from spikewatch.service.pipeline.detector import EventDetector
from spikewatch.service.pipeline.results import DetectionResult
from spikewatch.service.pipeline.stream import DetectionStream
from tests.service.support.results import as_windows

SENSOR = {"width": 90, "height": 60}
OPTIONS: dict[str, Any] = {"confidence": 0.001, "slices": 4, "hop": 3, "slice_us": 10_000, "track": True}


def random_events(count: int = 1200, span_us: int = 160_000, start_us: int = 0) -> Events:
    rng = np.random.default_rng(0)
    events = np.zeros(count, EVENT_DTYPE)
    events["t"] = start_us + np.sort(rng.integers(0, span_us, count))
    events["x"], events["y"] = rng.integers(0, 90, count), rng.integers(0, 60, count)
    events["p"] = rng.integers(0, 2, count)
    return events


EVENTS = np.concatenate([random_events(), random_events(400, 50_000, 20_000_000)])
"""With a jump in time, after which the membranes are at rest."""

BEFORE_JUMP = 1200


@pytest.fixture(scope="module")
def expected(small: EventDetector) -> list[dict[str, Any]]:
    return as_windows(small.detect(EVENTS, **SENSOR, **OPTIONS))


def restored(small: EventDetector, stream: DetectionStream) -> DetectionStream:
    return small.restore(stream.snapshot())


@pytest.mark.parametrize("seed", [0, 1])
def test_any_split_and_any_snapshots_equal_offline(
    small: EventDetector, expected: list[dict[str, Any]], seed: int
) -> None:
    """Snapshots before the first event, within slices and windows, and after the jump in time."""
    rng = np.random.default_rng(seed)
    stream, results = small.stream(**SENSOR, **OPTIONS), list[DetectionResult]()
    for part in np.split(EVENTS, np.sort(rng.integers(0, len(EVENTS), 12))):
        stream = restored(small, stream)
        results += stream.push(part)
    assert as_windows(results + stream.finish()) == expected


def test_pieces_of_the_bundled_recording_equal_offline(
    small: EventDetector, clip: Path, clip_events: Events
) -> None:
    stream, results = small.stream(304, 240, track=True), list[DetectionResult]()
    cuts = np.sort(np.random.default_rng(1).integers(0, len(clip_events), 40))
    for i, part in enumerate(np.split(clip_events, cuts)):
        results += stream.push(part["t"], part["x"], part["y"], part["p"])
        if i == 20:
            stream = restored(small, stream)
    results += stream.finish()
    assert as_windows(results) == as_windows(small.detect(clip, track=True))


def test_several_streams_do_not_mix(small: EventDetector, expected: list[dict[str, Any]]) -> None:
    streams = [small.stream(**SENSOR, **OPTIONS) for _ in range(2)]
    results: list[list[DetectionResult]] = [[], []]
    for part in np.array_split(EVENTS, 5):
        for stream, found in zip(streams, results, strict=True):
            found += stream.push(part)
    for stream, found in zip(streams, results, strict=True):
        assert as_windows(found + stream.finish()) == expected


def test_position_and_counts_grow(small: EventDetector) -> None:
    stream = small.stream(**SENSOR, **OPTIONS)
    assert (stream.position_us, stream.stats.events_in) == (None, 0)
    stream.push(EVENTS[:800])
    assert stream.position_us == int(EVENTS["t"][799]) // 10_000 * 10_000
    assert stream.stats.events_in == 800


def test_results_before_a_bad_event_are_returned_first(small: EventDetector) -> None:
    stream = small.stream(**SENSOR, **OPTIONS)
    bad = EVENTS[:BEFORE_JUMP].copy()
    bad["x"][-1] = 90
    results = stream.push(bad)
    whole = as_windows(small.detect(EVENTS[:BEFORE_JUMP], **SENSOR, **OPTIONS))
    assert len(results) > 2
    assert as_windows(results)[:-1] == whole[: len(results) - 1]
    last_slice_us = int(bad["t"][-1]) // 10_000 * 10_000
    assert sum(result.events for result in results) == int((bad["t"] < last_slice_us).sum())
    for _ in range(2):
        with pytest.raises(GeometryError, match="x=90"):
            stream.finish()
    with pytest.raises(GeometryError, match="x=90"):
        stream.snapshot()


def test_time_that_runs_back_ends_the_stream(small: EventDetector) -> None:
    stream = small.stream(**SENSOR, on_time_jump="fail")
    stream.push([5_000_000], [1], [1], [1])
    with pytest.raises(TimeOrderError, match="an event at 0 us"):
        stream.push([0], [1], [1], [1])


def test_time_that_runs_back_is_a_counted_discontinuity(small: EventDetector) -> None:
    stream = small.stream(**SENSOR)
    assert stream.push([5_000_000], [1], [1], [1]) == []
    results = stream.push([0], [1], [1], [1]) + stream.finish()
    assert [result.events for result in results] == [1, 1]
    assert stream.stats.time_jumps == 1


def test_arrays_that_are_no_events_leave_the_stream_unchanged(
    small: EventDetector, expected: list[dict[str, Any]]
) -> None:
    stream = small.stream(**SENSOR, **OPTIONS)
    results = stream.push(EVENTS[:600])
    with pytest.raises(FormatError):
        stream.push(np.zeros(3))
    assert as_windows(results + stream.push(EVENTS[600:]) + stream.finish()) == expected


def test_finished_stream_rejects_more_events(small: EventDetector) -> None:
    stream = small.stream(**SENSOR)
    assert stream.finish() == []
    with pytest.raises(RuntimeError, match="finished"):
        stream.push(EVENTS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 0, "height": 60}, "width is 0: input should be greater than or equal to 1"),
        ({**SENSOR, "confidence": 2}, "confidence is 2: input should be less than"),
        ({**SENSOR, "slice_us": 20_000, "window": "paper"}, "give one of them"),
        ({**SENSOR, "frames": 2}, "frames is 2: extra inputs are not permitted"),
    ],
)
def test_options_out_of_range_are_rejected(small: EventDetector, options: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        small.stream(**options)
