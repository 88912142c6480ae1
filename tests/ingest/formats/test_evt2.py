import struct

import pytest

from spikewatch.ingest.formats.decoders import make_decoder

HIGH = 0x8000_0003
T = 3 << 6


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def test_words_decode_as_specified():
    events = make_decoder("evt2").feed(words(HIGH, (1 << 28) | (63 << 22) | (2047 << 11) | 1023, 5 << 11))
    assert events.tolist() == [(T + 63, 2047, 1023, 1), (T, 5, 0, 0)]


def test_events_before_first_time_are_counted():
    decoder = make_decoder("evt2")
    assert len(decoder.feed(words(0x1000_0000, 0x0000_0000, HIGH, 0x1000_0000))) == 1
    assert decoder.stats.dropped == {"before_first_time": 2}


@pytest.mark.parametrize(
    ("word_type", "counted"), [(0xA, 0), (0xE, 0), (0xF, 0), (0x2, 1), (0x7, 1), (0xD, 1)]
)
def test_other_word_types_are_ignored(word_type, counted):
    decoder = make_decoder("evt2")
    assert decoder.feed(words(HIGH, (word_type << 28) | 0xABCDEF, 0x1000_0000)).tolist() == [(T, 0, 0, 1)]
    assert decoder.stats.dropped == ({"reserved_word": 1} if counted else {})
