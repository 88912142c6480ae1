"""A stream saved and loaded at any byte goes on as if nothing had happened."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewatch.ingest.errors import FormatError, IngestError
from spikewatch.ingest.formats.decoders import FORMATS
from spikewatch.ingest.slicing.slice_stream import SliceStream
from tests.ingest.support.cases import HEIGHT, WIDTH, pieces, sorted_events
from tests.ingest.support.encoders import ENCODERS
from tests.ingest.support.slices import OPTIONS, equal, jittered

HEADERS = {
    "dat": f"% Data file\n% Width {WIDTH}\n% Height {HEIGHT}\n".encode() + bytes([12, 8]),
    "evt2": b"% evt 2.0\n% geometry 304x240\n% end\n",
    "evt21": b"% format EVT21;endianness=legacy;height=240;width=304\n% end\n",
    "evt3": b"% evt 3.0\n% geometry 304x240\n% end\n",
}


def make(format: str, representation: str = "polarity_counts") -> SliceStream:
    return SliceStream(format, None, None, representation=representation, **OPTIONS)


def moved(stream: SliceStream, format: str, representation: str) -> SliceStream:
    """A new stream that goes on from the old one's saved state, by way of JSON."""
    meta, frame = stream.save()
    fresh = make(format, representation)
    fresh.load(json.loads(json.dumps(meta)), frame)
    return fresh


@pytest.mark.parametrize("format", FORMATS)
@given(
    events=st.one_of(sorted_events(), jittered),
    cuts=st.lists(st.integers(0, 1500), max_size=5),
    representation=st.sampled_from(["polarity_counts", "latest_polarity"]),
)
@settings(max_examples=40, deadline=None)
def test_a_moved_stream_equals_one_that_stayed(format, events, cuts, representation):
    data = HEADERS[format] + ENCODERS[format](events)

    def run(move: bool) -> tuple:
        stream, slices, error = make(format, representation), [], None
        try:
            for part in pieces(data, cuts):
                slices += stream.feed(part)
                stream = moved(stream, format, representation) if move else stream
            slices += stream.finish()
        except IngestError as caught:
            error = repr(caught)
        return slices, (error, stream.decode_stats, stream.slicer_stats, stream.sensor_size)

    stayed, facts = run(move=False)
    went, facts_of_moved = run(move=True)
    assert facts_of_moved == facts
    assert equal(went, stayed)


def fed() -> tuple[dict, np.ndarray]:
    stream = make("evt2")
    list(stream.feed(HEADERS["evt2"] + ENCODERS["evt2"]([(5, 1, 1, 1), (6, 2, 1, 0)])))
    meta, frame = stream.save()
    assert frame is not None
    return meta, frame


def test_what_no_stream_of_the_kind_could_have_given_is_refused():
    meta, frame = fed()
    with pytest.raises(FormatError, match="evt2"):
        make("evt3").load(meta, frame)
    for other in (None, frame[:1], frame.astype("u1")):
        with pytest.raises(ValueError, match="frame of the open slice"):
            make("evt2").load(meta, other)
    for path, value, words in (
        (("slicer", "open", "t0_us"), 7, "off the grid"),
        (("decoder", "partial"), "00" * 4, "decoder of evt2"),
        (("decoder", "carried"), {}, "decoder of evt2"),
        (("decoder", "partial"), "xy", "hexadecimal"),
    ):
        wrong = json.loads(json.dumps(meta))
        place = wrong
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        with pytest.raises(ValueError, match=words):
            make("evt2").load(wrong, frame)


def test_a_stream_is_saved_between_two_feeds_only():
    stream = make("evt2")
    stream.feed(HEADERS["evt2"])
    with pytest.raises(RuntimeError, match="not all drawn"):
        stream.save()
