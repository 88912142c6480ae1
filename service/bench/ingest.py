"""Speed of decoding and slicing, in million events a second of one core, beside what others do and the limit.

Synthetic events, uniform over a 304x240 sensor at one million a second, cut into 50 ms slices; CPU time.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.ingest.formats.dat import encode_dat
from spikewatch.ingest.formats.decoders import make_decoder
from spikewatch.ingest.slicing.slice_stream import SliceStream
from spikewatch.ingest.slicing.slicer import TimeSlicer
from spikewatch.service.bench.measure import Quantiles, interleave
from spikewatch.service.bench.report import BenchReport, Chart

WIDTH, HEIGHT, SLICE_US = 304, 240, 50_000
FEED_BYTES = 64 * 1024
LIMIT_CASE = "limit: sum the DAT records as u64"


def synthetic_events(count: int) -> Events:
    """Events (N,) in time order, one a microsecond on average."""
    rng = np.random.default_rng(0)
    events = np.empty(count, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, count, count))
    events["x"] = rng.integers(0, WIDTH, count)
    events["y"] = rng.integers(0, HEIGHT, count)
    events["p"] = rng.integers(0, 2, count)
    return events


def encode_evt2(events: Events) -> bytes:
    """32-bit words, a TIME_HIGH wherever it changes."""
    t, x, y, p = (events[name].astype("<u4") for name in "txyp")
    words = np.stack([0x80000000 | t >> 6, p << 28 | (t & 63) << 22 | x << 11 | y], axis=1)
    return bytes(words[_written_words([t >> 6])].tobytes())


def encode_evt3(events: Events) -> bytes:
    """16-bit words: TIME_HIGH, TIME_LOW and ADDR_Y wherever they change, then ADDR_X."""
    t, x, y, p = (events[name].astype("<u4") for name in "txyp")
    words = np.stack([0x8000 | (t >> 12) % 4096, 0x6000 | t % 4096, y, 0x2000 | p << 11 | x], axis=1)
    return bytes(words.astype("<u2")[_written_words([t >> 12, t, y])].tobytes())


def _written_words(prefixes: list[NDArray[Any]]) -> NDArray[np.bool_]:
    """Which words are written: each prefix where it differs from the event before, and every event."""
    changed = [np.append(True, prefix[1:] != prefix[:-1]) for prefix in prefixes]
    return np.stack([*changed, np.ones_like(changed[0])], axis=1)


def decode_all(format: str, data: bytes) -> None:
    """All of data through `blocks`, as from a socket."""
    decoder = make_decoder(format, WIDTH, HEIGHT)
    for piece in _chunks(data, FEED_BYTES):
        _consume(decoder.blocks(piece))


def slice_all(format: str, data: bytes, feed_bytes: int, representation: str = "polarity_counts") -> None:
    """All of data into slices."""
    slices = SliceStream(format, WIDTH, HEIGHT, SLICE_US, representation)
    for piece in _chunks(data, feed_bytes):
        _consume(slices.feed(piece))
    _consume(slices.finish())


def count_with_bincount(events: Events) -> None:
    """The usual numpy way: a flat index for each event, one np.bincount a slice."""
    cells = 2 * HEIGHT * WIDTH
    for part in _split_by_slice(events):
        index = (part["p"].astype(np.int64) * HEIGHT + part["y"]) * WIDTH + part["x"]
        np.bincount(index, minlength=cells).reshape(2, HEIGHT, WIDTH)


def count_with_add_at(events: Events) -> None:
    """As tonic's ToFrame does: np.add.at with a tuple of indices."""
    for part in _split_by_slice(events):
        frame = np.zeros((2, HEIGHT, WIDTH), np.int16)
        np.add.at(frame, (part["p"].astype(int), part["y"], part["x"]), 1)


def _split_by_slice(events: Events) -> list[Events]:
    edges = np.arange(SLICE_US, int(events["t"][-1]) + 1, SLICE_US)
    return np.split(events, np.searchsorted(events["t"], edges))


def _chunks(data: bytes, size: int) -> list[memoryview]:
    return [memoryview(data)[start : start + size] for start in range(0, len(data), size)]


def _consume(items: Iterable[object]) -> None:
    for _ in items:
        pass


def bench_cases(events: Events) -> dict[str, Callable[[], object]]:
    """Row name to what is timed."""
    dat, evt2, evt3 = encode_dat(events), encode_evt2(events), encode_evt3(events)
    records = np.frombuffer(dat, "<u8")
    return {
        LIMIT_CASE: records.sum,
        "DAT to counts, one feed": lambda: slice_all("dat", dat, len(dat)),
        "DAT to counts, 64 KiB feeds": lambda: slice_all("dat", dat, FEED_BYTES),
        "DAT to latest polarity, 64 KiB feeds": lambda: slice_all("dat", dat, FEED_BYTES, "latest_polarity"),
        "EVT2 to counts, 64 KiB feeds": lambda: slice_all("evt2", evt2, FEED_BYTES),
        "EVT3 to counts, 64 KiB feeds": lambda: slice_all("evt3", evt3, FEED_BYTES),
        "decode DAT, 64 KiB feeds": lambda: decode_all("dat", dat),
        "decode EVT2, 64 KiB feeds": lambda: decode_all("evt2", evt2),
        "decode EVT3, 64 KiB feeds": lambda: decode_all("evt3", evt3),
        "slice decoded events": lambda: _consume(TimeSlicer(SLICE_US, WIDTH, HEIGHT).push(events)),
        "np.bincount on decoded events": lambda: count_with_bincount(events),
        "np.add.at on decoded events (as tonic)": lambda: count_with_add_at(events),
    }


COLUMNS = ("case", "M events/s", "share of the limit")


def measure_ingest(count: int, turns: int, on_progress: Callable[[float], None]) -> BenchReport:
    """Run all rows in turn; the first turn compiles and is not counted."""
    seconds = interleave(
        bench_cases(synthetic_events(count)), turns + 1, clock=time.process_time, on_progress=on_progress
    )
    speeds = {name: [count / each / 1e6 for each in taken[1:]] for name, taken in seconds.items()}
    limit = Quantiles.from_values(speeds[LIMIT_CASE]).median
    cells = [
        (name, Quantiles.from_values(found).text(0), f"{Quantiles.from_values(found).median / limit:.3f}")
        for name, found in speeds.items()
    ]
    title = f"{count:,} events, {turns} turns, median (5 to 95 %)."
    figures = {"events": count, "million_events_per_s": speeds}
    chart = Chart(
        "million events a second of one core", [(n, Quantiles.from_values(s)) for n, s in speeds.items()]
    )
    return BenchReport(title, COLUMNS, cells, figures, chart)
