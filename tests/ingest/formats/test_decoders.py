"""Tests of all decoders: round trips, splits, damage, truncation."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewatch.ingest.errors import FormatError, GeometryError, IngestError, TruncatedError
from spikewatch.ingest.formats.decoders import FORMATS, make_decoder
from spikewatch.ingest.formats.record_decoder import BLOCK_EVENTS
from tests.ingest.support.cases import HEIGHT, WIDTH, as_array, decode, pieces, same, sorted_events
from tests.ingest.support.encoders import ENCODERS

HEADERS = {
    "dat": b"% Data file containing CD events\n% Version 2\n% Width 304\n% Height 240\n\x0c\x08",
    "evt2": b"% evt 2.0\n% geometry 304x240\n% end\n",
    "evt21": b"% format EVT21;height=240;width=304\n% end\n",
    "evt3": b"% evt 3.0\n% format EVT3;height=240;width=304\n% end\n",
}
every_format = pytest.mark.parametrize("format", FORMATS)
quick = settings(max_examples=40, deadline=None)


def from_zero(format, events, decoded):
    """Shift times to the events' period: DAT and EVT3 store time modulo their range."""
    period = {"dat": 2**32, "evt3": 2**24}.get(format)
    if period and events:
        shift = events[0][0] // period * period
        decoded = decoded.copy()
        decoded["t"] += shift
    return decoded


@every_format
@given(events=sorted_events(), with_header=st.booleans())
@quick
def test_round_trip(format, events, with_header):
    data = (HEADERS[format] if with_header else b"") + ENCODERS[format](events)
    decoded = decode(format, [data], width=WIDTH, height=HEIGHT)
    assert same(from_zero(format, events, decoded), as_array(events))


@every_format
@given(events=sorted_events(), with_header=st.booleans(), cuts=st.lists(st.integers(0, 3000)))
@quick
def test_splits_do_not_change_events(format, events, with_header, cuts):
    data = (HEADERS[format] if with_header else b"") + ENCODERS[format](events)
    whole = decode(format, [data])
    assert same(decode(format, pieces(data, cuts)), whole)
    assert same(decode(format, pieces(data, range(len(data)))), whole)


@every_format
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_feed_accepts_any_bytes_type(format, kind):
    data = HEADERS[format] + ENCODERS[format]([(5, 1, 2, 1), (9, 3, 4, 0)])
    assert decode(format, [kind(data)]).tolist() == [(5, 1, 2, 1), (9, 3, 4, 0)]


@every_format
@given(
    data=st.binary(max_size=400),
    events=sorted_events(max_size=20),
    at=st.integers(0, 2000),
    with_header=st.booleans(),
    cuts=st.lists(st.integers(0, 600), max_size=3),
)
@quick
def test_damaged_bytes_are_decoded_or_rejected(format, data, events, at, with_header, cuts):
    stream = bytearray((HEADERS[format] if with_header else b"") + ENCODERS[format](events))
    stream[at : at + len(data)] = data
    try:
        decoded = decode(format, pieces(bytes(stream), cuts), width=WIDTH, height=HEIGHT)
    except IngestError:
        return
    assert (decoded["x"] < WIDTH).all()
    assert (decoded["y"] < HEIGHT).all()
    assert (decoded["p"] <= 1).all()


@every_format
def test_truncated_record_is_counted(format):
    decoder = make_decoder(format)
    data = ENCODERS[format]([(5, 1, 2, 1), (9, 3, 4, 0)])
    assert len(decoder.feed(data[:-1])) == 1
    decoder.finish()
    assert decoder.stats.dropped == {"truncated_record": 1}
    assert decoder.stats.events == 1


@every_format
def test_events_off_sensor_are_dropped_and_counted(format):
    decoder = make_decoder(format, 10, 10)
    events = decoder.feed(ENCODERS[format]([(1, 9, 9, 1), (2, 10, 0, 1), (3, 0, 10, 0), (4, 0, 0, 0)]))
    assert events.tolist() == [(1, 9, 9, 1), (4, 0, 0, 0)]
    assert decoder.stats.dropped == {"outside_sensor": 2}


@every_format
@pytest.mark.parametrize("other", FORMATS)
def test_header_of_other_format_is_rejected(format, other):
    if format == other:
        return
    with pytest.raises(FormatError, match=rf"'{other}'.*'{format}'"):
        decode(format, [HEADERS[other]])


@every_format
def test_header_size_is_used_and_checked(format):
    decoder = make_decoder(format)
    decoder.feed(HEADERS[format])
    assert (decoder.width, decoder.height) == (304, 240)
    with pytest.raises(GeometryError, match="width 304, but --width is 303"):
        make_decoder(format, 303, 240).feed(HEADERS[format])


@every_format
def test_truncated_header_is_rejected(format):
    with pytest.raises(TruncatedError, match="within its text header"):
        decode(format, [HEADERS[format][:14]])


@every_format
def test_blocks_are_bounded_and_complete(format):
    events = [(i, i % WIDTH, i % HEIGHT, i % 2) for i in range(BLOCK_EVENTS + 100)]
    decoder = make_decoder(format)
    blocks = [block.copy() for block in decoder.blocks(ENCODERS[format](events))]
    assert len(blocks) > 1
    assert max(map(len, blocks)) <= BLOCK_EVENTS
    assert same(np.concatenate(blocks), as_array(events))
    assert decoder.stats.events == len(events)


@every_format
def test_unconsumed_blocks_are_rejected(format):
    decoder = make_decoder(format)
    next(decoder.blocks(ENCODERS[format]([(5, 1, 2, 1)])))
    with pytest.raises(RuntimeError, match="not consumed"):
        decoder.feed(b"")


@pytest.mark.parametrize("size", [(0, 240), (304, 4097), (-1, 1)])
def test_size_out_of_bounds_is_rejected(size):
    with pytest.raises(GeometryError, match="expected 1 to 4096"):
        make_decoder("dat", *size)


def test_unknown_format_is_rejected():
    with pytest.raises(FormatError, match="expected one of dat, evt2, evt21, evt3"):
        make_decoder("evt4")


@pytest.mark.parametrize(
    ("format", "period"), [("dat", 2**32), ("evt2", 2**34), ("evt21", 2**34), ("evt3", 2**24)]
)
def test_time_wraps_are_undone(format, period):
    step = period // 3
    events = [(t, 1, 2, 1) for t in range(step, 4 * period, step)]
    assert decode(format, [ENCODERS[format](events)])["t"].tolist() == [t for t, *_ in events]


@pytest.mark.parametrize(
    ("format", "period"), [("dat", 2**32), ("evt2", 2**34), ("evt21", 2**34), ("evt3", 2**24)]
)
@pytest.mark.parametrize("base", [0, 1])
def test_small_backward_steps_are_not_wraps(format, period, base):
    """Steps far from a wrap, and across one."""
    around = base * period
    times = [around + 300, around + 100, around + 9000, around + 8000]
    if base:
        times = [period // 2, period - 200, period + 300, period - 5000, period + 9000]
    assert decode(format, [ENCODERS[format]([(t, 1, 2, 1) for t in times])])["t"].tolist() == times


def test_headerless_dat_is_not_mistaken_for_header():
    for time in (struct.unpack("<I", b"% D\n")[0], struct.unpack("<I", b"% Da")[0], 0x2025):
        for y, p in ((0, 0), (4095, 1), (2600, 0)):
            data = ENCODERS["dat"]([(time, 0x2020, y, p)] * 3)
            assert decode("dat", [data])["t"].tolist() == [time] * 3
            assert decode("dat", pieces(data, range(len(data))))["t"].tolist() == [time] * 3
