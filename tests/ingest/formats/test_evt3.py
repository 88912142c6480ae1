import struct

import evt3
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewatch.ingest.formats.decoders import make_decoder
from spikewatch.ingest.open import open_recording
from tests.ingest.support.cases import decode, pieces, same, sorted_events
from tests.ingest.support.encoders import evt3 as encode

HIGH, LOW, ROW = 0x8001, 0x6002, 0x0005
T = (1 << 12) | 2


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


def test_vector_words():
    data = words(HIGH, LOW, ROW, 0x3000 | 0x800 | 100, 0x4801, 0x4001, 0x5080)
    assert decode("evt3", [data]).tolist() == [(T, x, 5, 1) for x in (100, 111, 112, 100 + 24 + 7)]


def test_vector_straddles_feeds_and_keeps_the_upper_bits_of_vect_8_out():
    data = words(HIGH, LOW, ROW, 0x3000 | 100, 0x4801, 0x4001, 0x5F80)
    whole = decode("evt3", [data])
    assert len(whole) == 4
    for cut in range(len(data)):
        assert same(decode("evt3", pieces(data, [cut])), whole)


def test_time_low_restarts_when_time_high_changes():
    data = words(0x8001, 0x6FFF, ROW, 0x2001, 0x8001, 0x2001, 0x8002, 0x2001)
    assert decode("evt3", [data])["t"].tolist() == [0x1FFF, 0x1FFF, 0x2000]


def test_join_in_mid_stream():
    decoder = make_decoder("evt3")
    before_time = words(ROW, 0x2001, 0x3001, 0x4003)
    before_row = words(HIGH, 0x2001)
    assert len(decoder.feed(before_time + before_row)) == 1  # the row came before the time, and holds
    assert decoder.stats.dropped == {"before_first_time": 3}

    decoder = make_decoder("evt3")
    assert len(decoder.feed(words(HIGH, 0x2001, 0x4003, ROW, 0x4001, 0x2001))) == 1
    assert decoder.stats.dropped == {"before_first_address": 4}


@pytest.mark.parametrize(
    ("kind", "counted"), [(0x7, 0), (0xA, 0), (0xE, 0), (0xF, 0), (0x9, 1), (0x1, 1), (0xD, 1)]
)
def test_other_words_change_nothing(kind, counted):
    decoder = make_decoder("evt3")
    events = decoder.feed(words(HIGH, LOW, ROW, (kind << 12) | 0xABC, 0x2003))
    assert events.tolist() == [(T, 3, 5, 0)]
    assert decoder.stats.dropped == ({"reserved_word": 1} if counted else {})


def test_vectors_without_end_stay_within_the_address_range():
    decoder = make_decoder("evt3")
    events = decoder.feed(words(HIGH, ROW, 0x3000 | 2047) + words(0x4FFF) * 10_000)
    assert events["x"].tolist() == [2047]
    assert decoder.stats.dropped == {"outside_sensor": 120_000 - 1}


def against_evt3(data: bytes, width: int, height: int) -> bool:
    ours = decode("evt3", [data], width=width, height=height)
    theirs = evt3.decode_bytes(data, sensor_width=width, sensor_height=height)
    columns = {"t": theirs.timestamp, "x": theirs.x, "y": theirs.y, "p": theirs.polarity}
    return len(ours) == len(theirs) and all((ours[name] == columns[name]).all() for name in columns)


@given(events=sorted_events(), vectors=st.booleans())
@settings(max_examples=40, deadline=None)
def test_equals_the_evt3_package(events, vectors):
    start = events[0][0] // 4096 * 4096 if events else 0
    data = encode([(t - start, x, y, p) for t, x, y, p in events], vectors=vectors)
    assert against_evt3(data, 304, 240)


def test_real_recording_equals_the_evt3_package(recordings):
    path = recordings / "pedestrians_evt3.raw"
    theirs = evt3.decode_file(str(path))
    with open_recording(path) as recording:
        ours = np.concatenate(list(recording.chunks(999)))
    assert ours["t"].tolist() == theirs.timestamp.tolist()
    assert ours["x"].tolist() == theirs.x.tolist()
    assert ours["y"].tolist() == theirs.y.tolist()
    assert ours["p"].tolist() == theirs.polarity.tolist()
