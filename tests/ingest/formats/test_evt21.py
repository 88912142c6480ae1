import struct

import pytest
from hypothesis import given, settings

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.formats.decoders import make_decoder
from tests.ingest.support.cases import decode, same, sorted_events
from tests.ingest.support.encoders import evt21

HIGH = (0x8 << 60) | (3 << 32)
LEGACY = b"% format EVT21;endianness=legacy;height=720;width=1280\n% end\n"


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def test_words_decode_as_specified():
    vector = (1 << 60) | (63 << 54) | (64 << 43) | (7 << 32) | 0x8000_0001
    events = make_decoder("evt21").feed(words(HIGH, vector))
    assert events.tolist() == [(3 * 64 + 63, 64, 7, 1), (3 * 64 + 63, 95, 7, 1)]


@given(events=sorted_events())
@settings(max_examples=25, deadline=None)
def test_legacy_word_halves_are_swapped(events):
    legacy = decode("evt21", [LEGACY + evt21(events, legacy=True)])
    assert same(legacy, decode("evt21", [evt21(events)]))


def test_big_endian_is_rejected():
    with pytest.raises(FormatError, match="endianness=big"):
        decode("evt21", [LEGACY.replace(b"legacy", b"big")])


def test_masked_events_before_first_time_are_counted():
    decoder = make_decoder("evt21")
    assert len(decoder.feed(words(0x7, HIGH, 0x1))) == 1
    assert decoder.stats.dropped == {"before_first_time": 3}


@pytest.mark.parametrize(("word_type", "counted"), [(0xA, 0), (0xE, 0), (0xF, 0), (0x2, 1), (0xD, 1)])
def test_other_word_types_are_ignored(word_type, counted):
    decoder = make_decoder("evt21")
    assert decoder.feed(words(HIGH, (word_type << 60) | 0xABCDEF, 1)).tolist() == [(3 * 64, 0, 0, 0)]
    assert decoder.stats.dropped == ({"reserved_word": 1} if counted else {})
