"""A stream saved at any byte and loaded again equals an uninterrupted one."""

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
    """Return a new stream with the state of the old one, passed through JSON."""
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
def test_resumed_stream_equals_uninterrupted_stream(format, events, cuts, representation):
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


def test_load_rejects_invalid_state():
    meta, frame = fed()
    with pytest.raises(FormatError, match="evt2"):
        make("evt3").load(meta, frame)
    for other in (None, frame[:1], frame.astype("u1")):
        with pytest.raises(ValueError, match="open slice's frame is"):
            make("evt2").load(meta, other)
    for path, value, message in (
        (("slicer", "open", "t0_us"), 7, "off the grid"),
        (("decoder", "partial"), "00" * 4, "state of the evt2 decoder"),
        (("decoder", "carried"), {}, "state of the evt2 decoder"),
        (("decoder", "partial"), "xy", "hexadecimal"),
    ):
        wrong = json.loads(json.dumps(meta))
        parent = wrong
        for step in path[:-1]:
            parent = parent[step]
        parent[path[-1]] = value
        with pytest.raises(ValueError, match=message):
            make("evt2").load(wrong, frame)


def test_save_during_feed_is_rejected():
    stream = make("evt2")
    stream.feed(HEADERS["evt2"])
    with pytest.raises(RuntimeError, match="not consumed"):
        stream.save()
