"""Filters against rules written event by event with dictionaries, in any split and after any restore."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewatch.ingest.errors import GeometryError
from spikewatch.ingest.events import EVENT_DTYPE
from spikewatch.ingest.filters.event_filter import EventFilter
from spikewatch.ingest.filters.settings import FilterSettings
from spikewatch.ingest.slicing.slice_stream import SliceStream
from spikewatch.ingest.slicing.slicer import TimeSlicer
from tests.ingest.support.encoders import ENCODERS
from tests.ingest.support.slices import equal

WIDTH, HEIGHT = 6, 5
NEIGHBOURS = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy]


@st.composite
def busy_streams(draw):
    """Many events on few pixels, now and then late or after a jump in time."""
    steps = st.sampled_from([0, 0, 1, 3, 40, 250, 400_000, -30, -20_000_000])
    rows = draw(
        st.lists(st.tuples(steps, st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1)), max_size=150)
    )
    times = 50_000_000 + np.cumsum([step for step, _, _ in rows], dtype=np.int64)
    return np.array([(t, x, y, i % 2) for i, (t, (_, x, y)) in enumerate(zip(times, rows))], EVENT_DTYPE)  # noqa: B905


any_settings = st.builds(
    FilterSettings,
    region=st.sampled_from([None, (1, 0, 4, 4)]),
    hot_pixels=st.sampled_from([(), ((2, 2), (5, 4))]),
    hot_hz=st.sampled_from([None, 2.0, 4.0]),
    hot_window_us=st.sampled_from([1_000_000, 3_000_000]),
    refractory_us=st.sampled_from([None, 1, 40]),
    background_us=st.sampled_from([None, 5, 300]),
)


def run(event_filter, events, edges=()):
    bounds = [0, *sorted(min(edge, len(events)) for edge in edges), len(events)]
    masks = [kept for a, b in pairwise(bounds) for _, kept in event_filter.parts(events[a:b])]
    return np.concatenate(masks) if masks else np.zeros(0, bool)


def expected(settings, events):
    """Apply the rules of docs/formats.md with dictionaries: (kept, removed by name)."""
    hot, counts, passed, start = set(), {}, {}, None
    window, kept, removed = settings.hot_window_us, [], {}

    def is_hot(pixel):
        x, y = pixel
        busy = sum(4 * counts.get((x + dx, y + dy), 0) > counts[pixel] for dx, dy in NEIGHBOURS)
        return counts[pixel] > settings.hot_hz * window / 1e6 and busy <= 1

    for t, x, y in zip(events["t"].tolist(), events["x"].tolist(), events["y"].tolist(), strict=True):
        pixel, reason = (x, y), None
        if start is None or t < start - 11_000_000:
            start, counts = t, {}
        elif t >= start + window:
            if settings.hot_hz is not None:
                hot = {pixel for pixel in counts if is_hot(pixel)}
            start, counts = start + (t - start) // window * window, {}
        left, top, width, height = settings.region or (0, 0, WIDTH, HEIGHT)
        if not (left <= x < left + width and top <= y < top + height):
            reason = "region"
        else:
            counts[pixel] = counts.get(pixel, 0) + 1
            if pixel in hot or pixel in settings.hot_pixels:
                reason = "hot_pixels"
            elif pixel in passed and abs(t - passed[pixel]) < (settings.refractory_us or 0):
                reason = "refractory"
            else:
                around = [passed.get((x + dx, y + dy)) for dx, dy in NEIGHBOURS]
                dt_us = settings.background_us
                if dt_us and not any(n is not None and abs(t - n) <= dt_us for n in around):
                    reason = "background"
                passed[pixel] = t
        kept.append(reason is None)
        if reason:
            removed[reason] = removed.get(reason, 0) + 1
    return kept, removed


@given(events=busy_streams(), settings=any_settings, edges=st.lists(st.integers(0, 150), max_size=5))
@settings(max_examples=300, deadline=None)
def test_filters_follow_their_rules_at_any_split(events, settings, edges):
    event_filter = EventFilter(settings, WIDTH, HEIGHT)
    kept, removed = expected(settings, events)
    assert run(event_filter, events, edges).tolist() == kept
    assert event_filter.removed == removed


@given(events=busy_streams(), settings=any_settings, cut=st.integers(0, 150))
@settings(max_examples=60, deadline=None)
def test_restored_filter_continues(events, settings, cut):
    first = EventFilter(settings, WIDTH, HEIGHT)
    before = run(first, events[:cut])
    second = EventFilter(settings, WIDTH, HEIGHT)
    second.load(*first.save())
    kept, removed = expected(settings, events)
    assert [*before, *run(second, events[cut:])] == kept
    assert second.removed == removed


@given(events=busy_streams(), settings=any_settings)
@settings(max_examples=60, deadline=None)
def test_slices_keep_the_grid_of_the_unfiltered_stream(events, settings):
    slicer, plain = (TimeSlicer(100_000, WIDTH, HEIGHT, filters=f) for f in (settings, None))
    slices, unfiltered = ([*s.push(events), *filter(None, [s.flush()])] for s in (slicer, plain))
    grids = [[(s.t0_us, s.t1_us, s.discontinuity) for s in cut] for cut in (slices, unfiltered)]
    assert grids[0] == grids[1]
    assert slicer.stats.events_in == sum(s.n_events for s in slices) == sum(expected(settings, events)[0])
    assert sum(int(s.frame.sum()) for s in slices) == slicer.stats.events_in


@pytest.mark.parametrize("format", ["dat", "evt2", "evt3"])
def test_filtered_bytes_give_the_slices_of_filtered_arrays(format):
    rng = np.random.default_rng(3)
    events = np.zeros(4000, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, 3_000_000, len(events)))
    events["x"], events["y"] = rng.integers(0, WIDTH, len(events)), rng.integers(0, HEIGHT, len(events))
    events["x"][::3], events["y"][::3] = 4, 1
    settings = FilterSettings(hot_hz=100, refractory_us=500, background_us=300)
    data = ENCODERS[format]([tuple(event) for event in events.tolist()])
    stream = SliceStream(format, WIDTH, HEIGHT, 50_000, filters=settings)
    slices = [s for at in range(0, len(data), 777) for s in stream.feed(data[at : at + 777])]
    slicer = TimeSlicer(50_000, WIDTH, HEIGHT, filters=settings)
    assert equal([*slices, *stream.finish()], [*slicer.push(events), slicer.flush()])
    assert stream.filtered == slicer.filtered
    assert set(stream.filtered) == {"hot_pixels", "refractory", "background"}


def test_hot_pixel_is_learned_and_an_edge_is_not():
    """A pixel at 50 Hz between silent ones is hot in the second window; a row at 50 Hz is not."""
    times = np.arange(0, 2_000_000, 20_000)
    rows = [(t, 1, 1, 1) for t in times] + [(t, x, y, 1) for t in times for x in range(WIDTH) for y in (3, 4)]
    events = np.array(sorted(rows), EVENT_DTYPE)
    event_filter = EventFilter(FilterSettings(hot_hz=20), WIDTH, HEIGHT)
    kept = run(event_filter, events)
    removed = events[~kept]
    assert set(zip(removed["x"].tolist(), removed["y"].tolist(), strict=True)) == {(1, 1)}
    assert (len(removed), removed["t"].min()) == (50, 1_000_000)


@pytest.mark.parametrize("options", [{"region": (3, 0, 4, 2)}, {"hot_pixels": ((0, 5),)}])
def test_settings_off_the_sensor_are_refused(options):
    with pytest.raises(GeometryError, match="is off the 6x5 sensor"):
        EventFilter(FilterSettings(**options), WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("counts", lambda array: array - 1),
        ("hot", lambda array: array + 2),
        ("passed_us", lambda array: array[:-1]),
        ("passed_us", lambda array: array.astype(np.int32)),
    ],
)
def test_state_of_other_filters_is_refused(name, change):
    event_filter = EventFilter(FilterSettings(hot_hz=9, background_us=5), WIDTH, HEIGHT)
    values, arrays = event_filter.save()
    with pytest.raises(ValueError, match="filter"):
        event_filter.load(values, arrays | {name: change(arrays[name])})
