import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewatch.ingest.errors import FormatError, GeometryError, IngestError
from spikewatch.ingest.formats.decoders import FORMATS, make_decoder
from spikewatch.ingest.slicing.slice_stream import SliceStream
from spikewatch.ingest.slicing.slicer import TimeSlicer
from tests.ingest.support.cases import HEIGHT, WIDTH, pieces, sorted_events
from tests.ingest.support.encoders import ENCODERS, dat
from tests.ingest.support.real_recordings import REAL
from tests.ingest.support.slices import OPTIONS, equal, jittered

SIZED = b"% evt 3.0\n% geometry 304x240\n% end\n"


def streamed(format, parts, width=WIDTH, height=HEIGHT, representation="polarity_counts", **policy):
    """Return (slices, the error's text, the decoder's and the slicer's statistics)."""
    stream = SliceStream(format, width, height, representation=representation, **OPTIONS, **policy)
    slices, error = [], None
    try:
        for part in parts:
            slices += stream.feed(part)
        slices += stream.finish()
    except IngestError as caught:
        error = repr(caught)
    return slices, error, stream.decode_stats, stream.slicer_stats


def composed(format, data, width=WIDTH, height=HEIGHT, representation="polarity_counts", **policy):
    """Return the same as `streamed`, from a decoder followed by a slicer."""
    decoder = make_decoder(format, width, height)
    slicer = TimeSlicer(width=width, height=height, representation=representation, **OPTIONS, **policy)
    slices, error = [], None
    try:
        slices.extend(slicer.push(decoder.feed(data)))
        decoder.finish()
        last = slicer.flush()
        slices += [] if last is None else [last]
    except IngestError as caught:
        error = repr(caught)
    return slices, error, decoder.stats, slicer.stats


@pytest.mark.parametrize("format", FORMATS)
@given(
    events=st.one_of(sorted_events(), jittered),
    cuts=st.lists(st.integers(0, 3000), max_size=5),
    representation=st.sampled_from(["polarity_counts", "latest_polarity"]),
    size=st.sampled_from([(WIDTH, HEIGHT), (200, 100), (1, 1)]),
    tail=st.binary(max_size=40),
    policy=st.sampled_from(["resync", "fail"]),
)
@settings(max_examples=50, deadline=None)
def test_slice_stream_equals_decoder_and_slicer(format, events, cuts, representation, size, tail, policy):
    data = ENCODERS[format](events) + tail
    slices, error, decoded, sliced = streamed(
        format, pieces(data, cuts), *size, representation, on_time_jump=policy
    )
    expected, expected_error, expected_decoded, expected_sliced = composed(
        format, data, *size, representation, on_time_jump=policy
    )
    assert error == expected_error
    assert equal(slices, expected)
    assert sliced == expected_sliced
    if error is None:
        assert decoded == expected_decoded


@given(
    times=st.lists(
        st.sampled_from([0, 9, 10**6, 1_999_999, 2**31 - 1, 2**31, 2**31 + 5, 2**32 - 5, 2**32 - 1]),
        max_size=12,
    ),
    xs=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    cuts=st.lists(st.integers(0, 96), max_size=3),
    policy=st.sampled_from(["resync", "fail"]),
)
@settings(max_examples=150, deadline=None)
def test_fused_dat_equals_decoder_and_slicer_at_wraps(times, xs, cuts, policy):
    data = dat([(t, x, 0, 1) for t, x in zip(times, xs, strict=False)])
    slices, error, _, sliced = streamed("dat", pieces(data, cuts), 2, 1, on_time_jump=policy)
    expected, expected_error, _, expected_sliced = composed("dat", data, 2, 1, on_time_jump=policy)
    assert (error, sliced) == (expected_error, expected_sliced)
    assert equal(slices, expected)


@pytest.mark.parametrize(("name", "format", "width", "height", "count"), [row[:5] for row in REAL])
def test_real_recordings_are_sliced_without_loss(recordings, name, format, width, height, count):
    stream = SliceStream(format, width or 64, height or 64, 50_000)
    data = (recordings / name).read_bytes()
    slices = [slice_ for chunk in pieces(data, range(0, len(data), 99_991)) for slice_ in stream.feed(chunk)]
    slices += stream.finish()
    assert (
        sum(slice_.n_events for slice_ in slices)
        == sum(int(slice_.frame.sum()) for slice_ in slices)
        == count
    )
    assert stream.decode_stats.dropped == {}


def test_slice_stream_takes_size_from_header():
    slices, error, *_ = streamed("evt3", [SIZED, ENCODERS["evt3"]([(1, 303, 239, 1)])], None, None)
    assert error is None
    assert slices[0].frame.shape == (2, 240, 304)


@pytest.mark.parametrize("format", ["dat", "evt3"])
def test_unknown_size_fails_at_first_event(format):
    stream = SliceStream(format, None, None, 1000)
    assert stream.sensor_size == (None, None)
    assert list(stream.feed(b"")) == []
    with pytest.raises(GeometryError, match="--width and --height"):
        list(stream.feed(ENCODERS[format]([(1, 1, 1, 1)])))


def test_stream_without_events_yields_no_slices():
    stream = SliceStream("evt3", None, None, 1000)
    assert list(stream.feed(SIZED)) == []
    assert list(stream.finish()) == []
    assert stream.slicer_stats.events_in == 0


def test_unconsumed_slices_are_rejected():
    stream = SliceStream("dat", 304, 240, 1000)
    stream.feed(dat([(1, 1, 1, 1)]))
    with pytest.raises(RuntimeError, match="not consumed"):
        stream.feed(b"")
    with pytest.raises(RuntimeError, match="not consumed"):
        stream.finish()


def test_invalid_arguments_fail_at_construction():
    with pytest.raises(FormatError):
        SliceStream("mp4", None, None, 1000)
    with pytest.raises(ValueError, match="slice_us"):
        SliceStream("dat", None, None, 0)
    with pytest.raises(ValueError, match="representation"):
        SliceStream("dat", None, None, 1000, "voxels")
