"""Event streams and helpers that several tests share."""

from collections.abc import Iterable, Iterator

import numpy as np
from hypothesis import strategies as st

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.ingest.formats.decoders import make_decoder
from tests.ingest.support.encoders import Event

WIDTH, HEIGHT = 304, 240

pixels = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(0, 1))
steps = st.one_of(st.just(0), st.integers(0, 100), st.integers(0, 6000), st.just(400_000))


@st.composite
def sorted_events(draw: st.DrawFn, *, max_size: int = 60) -> list[Event]:
    """Draw events in time order from any start, with runs of neighbours for the vector formats."""
    t = draw(st.integers(0, 2**40)) % draw(st.sampled_from([2**13, 2**24, 2**32]))
    events: list[Event] = []
    for step, (x, y, p), run in draw(
        st.lists(st.tuples(steps, pixels, st.integers(1, 20)), max_size=max_size)
    ):
        t += step
        events += [(t, x + i, y, p) for i in range(min(run, WIDTH - x))]
    return events


def as_array(events: Iterable[Event]) -> Events:
    return np.array(list(events), EVENT_DTYPE)


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """Yield data, split at the given positions."""
    last = 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        yield data[last:cut]
        last = cut


def decode(format: str, parts: Iterable[bytes], **size: int) -> Events:
    decoder = make_decoder(format, **size)
    events = [decoder.feed(part) for part in parts]
    decoder.finish()
    return np.concatenate(events) if events else as_array([])


def same(left: Events, right: Events) -> bool:
    """Compare field by field, without the padding of the structure."""
    return len(left) == len(right) and all((left[name] == right[name]).all() for name in "txyp")
