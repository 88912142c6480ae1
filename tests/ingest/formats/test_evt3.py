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


def test_vector_words_decode_as_specified():
    data = words(HIGH, LOW, ROW, 0x3000 | 0x800 | 100, 0x4801, 0x4001, 0x5080)
    assert decode("evt3", [data]).tolist() == [(T, x, 5, 1) for x in (100, 111, 112, 100 + 24 + 7)]


def test_vector_split_over_feeds_decodes_equally():
    data = words(HIGH, LOW, ROW, 0x3000 | 100, 0x4801, 0x4001, 0x5F80)
    whole = decode("evt3", [data])
    assert len(whole) == 4
    for cut in range(len(data)):
        assert same(decode("evt3", pieces(data, [cut])), whole)


def test_time_low_restarts_when_time_high_changes():
    data = words(0x8001, 0x6FFF, ROW, 0x2001, 0x8001, 0x2001, 0x8002, 0x2001)
    assert decode("evt3", [data])["t"].tolist() == [0x1FFF, 0x1FFF, 0x2000]


def test_events_before_first_time_are_counted():
    decoder = make_decoder("evt3")
    before_time = words(ROW, 0x2001, 0x3001, 0x4003)
    before_row = words(HIGH, 0x2001)
    assert len(decoder.feed(before_time + before_row)) == 1  # the row came before the time, and holds
    assert decoder.stats.dropped == {"before_first_time": 3}

    decoder = make_decoder("evt3")
    assert len(decoder.feed(words(HIGH, 0x2001, 0x4003, ROW, 0x4001, 0x2001))) == 1
    assert decoder.stats.dropped == {"before_first_address": 4}


@pytest.mark.parametrize(
    ("word_type", "counted"), [(0x7, 0), (0xA, 0), (0xE, 0), (0xF, 0), (0x9, 0), (0x1, 1), (0xD, 1)]
)
def test_other_word_types_are_ignored(word_type, counted):
    decoder = make_decoder("evt3")
    events = decoder.feed(words(HIGH, LOW, ROW, (word_type << 12) | 0xABC, 0x2003))
    assert events.tolist() == [(T, 3, 5, 0)]
    assert decoder.stats.dropped == ({"reserved_word": 1} if counted else {})


def test_padding_between_words_changes_nothing():
    events = [(1000 + 100 * i, i % 304, i % 240, i % 2) for i in range(300)]
    padded = np.frombuffer(encode(events), "<u2").repeat(2)
    padded[1::2] = 0x9999
    decoder = make_decoder("evt3", 304, 240)
    assert decoder.feed(padded.tobytes()).tolist() == events
    assert decoder.stats.dropped == {}


def test_mid_stream_recording_with_triggers_has_known_events(recordings):
    path = recordings / "ros_vga_triggers_evt3_head.raw"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    expected = evt3.decode_file(str(path))
    with open_recording(path) as recording:
        events = np.concatenate(list(recording.chunks()))
        assert recording.stats.dropped == {}
    assert (len(events), events["t"][0], events["t"][-1]) == (11_610, 7_139_845, 7_296_703)
    assert events["x"].tolist() == expected.x.tolist()
    assert events["y"].tolist() == expected.y.tolist()
    assert events["p"].tolist() == expected.polarity.tolist()
    assert events["t"].tolist() == expected.timestamp.tolist()


def test_endless_vectors_stay_in_address_range():
    decoder = make_decoder("evt3")
    events = decoder.feed(words(HIGH, ROW, 0x3000 | 2047) + words(0x4FFF) * 10_000)
    assert events["x"].tolist() == [2047]
    assert decoder.stats.dropped == {"outside_sensor": 120_000 - 1}


def against_evt3(data: bytes, width: int, height: int) -> bool:
    actual = decode("evt3", [data], width=width, height=height)
    expected = evt3.decode_bytes(data, sensor_width=width, sensor_height=height)
    columns = {"t": expected.timestamp, "x": expected.x, "y": expected.y, "p": expected.polarity}
    return len(actual) == len(expected) and all((actual[name] == columns[name]).all() for name in columns)


@given(events=sorted_events(), vectors=st.booleans())
@settings(max_examples=40, deadline=None)
def test_evt3_equals_reference_package(events, vectors):
    start = events[0][0] // 4096 * 4096 if events else 0
    data = encode([(t - start, x, y, p) for t, x, y, p in events], vectors=vectors)
    assert against_evt3(data, 304, 240)


def test_real_evt3_equals_reference_package(recordings):
    path = recordings / "pedestrians_evt3.raw"
    expected = evt3.decode_file(str(path))
    with open_recording(path) as recording:
        actual = np.concatenate(list(recording.chunks(999)))
    assert actual["t"].tolist() == expected.timestamp.tolist()
    assert actual["x"].tolist() == expected.x.tolist()
    assert actual["y"].tolist() == expected.y.tolist()
    assert actual["p"].tolist() == expected.polarity.tolist()
