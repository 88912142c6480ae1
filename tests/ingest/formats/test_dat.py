import struct

import numpy as np
import pytest

from spikewatch.ingest.errors import FormatError, TruncatedError
from spikewatch.ingest.formats.decoders import make_decoder
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.slicing.slice_stream import SliceStream
from tests.ingest.support.cases import decode, pieces
from tests.ingest.support.encoders import dat

HEADER = b"% Data file containing CD events\n% Version 2\n"
RECORD = dat([(7, 300, 200, 1)])


@pytest.mark.parametrize("preamble", [b"\x00\x08", b"\x0c\x08"])
def test_both_cd_event_types_are_accepted(preamble):
    assert decode("dat", [HEADER + preamble + RECORD]).tolist() == [(7, 300, 200, 1)]


@pytest.mark.parametrize(
    ("preamble", "message"),
    [(b"\x0e\x08", "external triggers"), (b"\x28\x08", "type 0x28"), (b"\x0c\x10", "16 bytes an event")],
)
def test_other_event_types_are_rejected(preamble, message):
    with pytest.raises(FormatError, match=message):
        decode("dat", [HEADER + preamble + RECORD])


@pytest.mark.parametrize("tail", [b"", b"\x0c"])
def test_missing_event_type_and_size_is_truncation(tail):
    with pytest.raises(TruncatedError, match="expected the DAT event type and size"):
        decode("dat", [HEADER + tail])


def version_1(events):
    address = [(p << 17) | (y << 9) | x for _, x, y, p in events]
    return b"".join(struct.pack("<II", t, a) for (t, *_), a in zip(events, address, strict=True))


def test_version_1_has_its_own_bit_layout():
    header = b"% Data file containing Event2D events.\n% Version 1\n% Height 240\n% Width 304\n\x00\x08"
    events = [(1000 + i, i % 304, i % 240, i % 3 % 2) for i in range(2000)]
    data = header + version_1(events)
    assert decode("dat", [data]).tolist() == events
    assert decode("dat", pieces(data, range(0, len(data), 13))).tolist() == events
    stream = SliceStream("dat", None, None, 10_000_000)
    (slice_,) = [*stream.feed(data), *stream.finish()]
    assert slice_.n_events == slice_.frame.sum() == 2000
    assert stream.decode_stats.dropped == {}


@pytest.mark.parametrize("version", [b"3", b"0", b"new"])
def test_other_versions_are_rejected_by_name(version):
    with pytest.raises(FormatError, match=f"DAT version '{version.decode()}'"):
        decode("dat", [b"% Version " + version + b"\n\x0c\x08" + RECORD])


def test_declared_big_endian_is_rejected_by_name():
    with pytest.raises(FormatError, match="dat with endianness=big is not supported"):
        decode("dat", [b"% Version 2\n% endianness big\n\x0c\x08" + RECORD])


def test_dat_coordinates_have_fourteen_bits():
    assert make_decoder("dat").feed(dat([(1, 16383, 16383, 1)])).tolist() == [(1, 16383, 16383, 1)]


def test_real_dat_equals_numpy_decode(recordings):
    path = recordings / "traffic_davis346_td.dat"
    records = np.frombuffer(path.read_bytes()[-78_830 * 8 :], "<u4").reshape(-1, 2)
    with open_recording(path) as recording:
        events = np.concatenate(list(recording.chunks()))
    assert (events["t"] == records[:, 0]).all()
    assert (events["x"] == records[:, 1] % 2**14).all()
    assert (events["y"] == records[:, 1] // 2**14 % 2**14).all()
    assert (events["p"] == records[:, 1] // 2**28 % 2).all()
