import gc
import gzip
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewatch.ingest.errors import FormatError, GeometryError, IngestError, NoEventsError, TruncatedError
from spikewatch.ingest.events import EVENT_DTYPE, copy_events
from spikewatch.ingest.open import RECORDING_FORMATS, open_recording, sniff
from spikewatch.ingest.recording import RecordingInfo
from tests.ingest.support.cases import as_array, same
from tests.ingest.support.encoders import dat, evt3
from tests.ingest.support.hdf5_files import write_compound
from tests.ingest.support.real_recordings import REAL

HEADER = b"% Data file containing CD events\n% Version 2\n% Width 304\n% Height 240\n\x0c\x08"
EVENTS = [(100 * i, i % 304, i % 240, i % 2) for i in range(5000)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "misnamed.raw"
    path.write_bytes(HEADER + dat(EVENTS))
    return path


@pytest.mark.parametrize(("name", "format", "width", "height", "count", "first", "last"), REAL)
def test_real_recordings_have_known_events(recordings, name, format, width, height, count, first, last):
    with open_recording(recordings / name) as recording:
        info = recording.info()
        chunks = list(recording.chunks())
    assert info == RecordingInfo(format, width, height, count, first[0], last[0], last[0] - first[0], {})
    assert sum(map(len, chunks)) == count
    assert chunks[0][0].item() == first
    assert chunks[-1][-1].item() == last
    assert all((np.diff(chunk["t"]) >= 0).all() for chunk in chunks)


def test_chunks_are_bounded_owned_and_restart(path):
    with open_recording(path) as recording:
        for _ in range(2):
            chunks = list(recording.chunks(max_events=700))
            assert max(map(len, chunks)) == 700
            assert same(np.concatenate(chunks), as_array(EVENTS))
            assert recording.stats.events == len(EVENTS)
        with pytest.raises(ValueError, match="at least 1"):
            next(recording.chunks(0))


def test_seek(path):
    with open_recording(path) as recording:
        recording.seek(250_001)
        assert next(recording.chunks())[0].item() == EVENTS[2501]
        assert recording.info().events == recording.stats.events == 5000 - 2501
        recording.seek(10**9)
        assert list(recording.chunks()) == []
        recording.seek(0)
        assert recording.info().events == 5000


def test_two_iterators_of_one_recording_are_independent(path):
    with open_recording(path) as recording:
        pairs = zip(recording.chunks(100), recording.chunks(100), strict=True)
        assert all(same(left, right) for left, right in pairs)


def test_progress(path):
    with open_recording(path) as recording:
        assert recording.progress() == 0
        list(recording.chunks())
        assert recording.progress() == 1


def test_explicit_size_fills_or_contradicts_file(tmp_path, path):
    unsized = tmp_path / "unsized.dat"
    unsized.write_bytes(b"% Version 2\n\x00\x08" + dat(EVENTS))
    with open_recording(unsized) as recording:
        assert (recording.info().width, recording.info().events) == (None, 5000)
        with pytest.raises(GeometryError, match="--width and --height"):
            recording.sensor_size()
    with open_recording(unsized, width=100, height=240) as recording:
        assert recording.sensor_size() == (100, 240)
        info = recording.info()
        assert info.dropped == {"outside_sensor": 5000 - info.events}
    with pytest.raises(GeometryError, match="width 304, but --width is 100"):
        open_recording(path, width=100, height=240)


def test_truncated_file_record_is_dropped_and_counted(tmp_path):
    path = tmp_path / "cut.dat"
    path.write_bytes(HEADER + dat(EVENTS)[:-3])
    with open_recording(path) as recording:
        assert recording.info().events == 4999
        assert recording.info().dropped == {"truncated_record": 1}


@pytest.mark.parametrize("data", [b"", b"\x99\x99" * 8, b"\x00\x20" * 8])
def test_recording_without_events_is_rejected(tmp_path, data):
    path = tmp_path / "empty.raw"
    path.write_bytes(b"% evt 3.0\n% geometry 640x480\n% end\n" + data)
    with open_recording(path) as recording:
        assert list(recording.chunks()) == []
        with pytest.raises(
            NoEventsError, match=r"has no events|no event can be used; dropped: 8 before_first"
        ):
            recording.info()


def test_recording_whose_events_are_all_off_the_sensor_is_rejected(tmp_path):
    path = tmp_path / "off.dat"
    path.write_bytes(b"% Version 2\n\x00\x08" + dat([(t, 300, 200, 1) for t in range(50)]))
    with (
        open_recording(path, 100, 100) as recording,
        pytest.raises(NoEventsError, match="dropped: 50 outside_sensor; check the sensor size, 100x100"),
    ):
        recording.info()


def test_size_that_drops_most_events_is_warned_about(tmp_path):
    path = tmp_path / "unsized.dat"
    path.write_bytes(b"% Version 2\n\x00\x08" + dat([(t, t % 100, 9, 1) for t in range(1000)]))
    with open_recording(path, 10, 10) as recording:
        (warning,) = recording.info().warnings
    assert warning == (
        "90% of the events were dropped (900 outside_sensor; 100 events are left): check the sensor size"
    )
    with open_recording(path, 60, 10) as recording:
        assert recording.info().warnings == []


def fifo(tmp_path, content):
    """Return a named pipe, and the thread that writes `content` into it once."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[content], daemon=True)
    writer.start()
    return path, writer


@pytest.mark.parametrize("count", [1, 5000, 50_000])
def test_named_pipe_is_opened_once(tmp_path, count):
    events = [(t, t % 304, t % 240, 1) for t in range(count)]
    path, writer = fifo(tmp_path, HEADER + dat(events))
    with open_recording(path) as recording:
        assert (recording.format, recording.width, recording.height) == ("dat", 304, 240)
        assert same(np.concatenate(list(recording.chunks())), as_array(events))
        with pytest.raises(FormatError, match="is a pipe, which can be read only once"):
            list(recording.chunks())
    writer.join(10)
    assert not writer.is_alive()


def test_hdf5_from_pipe_is_copied_and_the_copy_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    original = tmp_path / "original"
    write_compound(original, as_array(EVENTS))
    path, _ = fifo(tmp_path, original.read_bytes())
    recording = open_recording(path, 304, 240)
    assert recording.info().events == len(EVENTS)
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    recording.close()
    del recording
    gc.collect()
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("redirect", [True, False])
@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_read(path, name, redirect):
    script = f"from spikewatch import open_recording as o; print(o({name!r}).info().events)"
    data = None if redirect else path.read_bytes()
    with path.open("rb") as file:
        source = {"stdin": file} if redirect else {"input": data}
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, **source)
    assert (run.stdout, run.stderr) == (b"5000\n", b"")


def test_stream_of_a_format_with_one_stream_is_rejected(path):
    with pytest.raises(FormatError, match="stream '2': dat has one stream of events"):
        open_recording(path, stream="2")


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", FormatError, "empty"),
        (b"\x89PNG\r\n\x1a\n", FormatError, "this is a PNG image"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", FormatError, "this is an MP4 video"),
        (b"SQLite format 3\0\x10\0", FormatError, "SQLite database, such as a ROS 2 bag"),
        (b"\x89MCAP0\r\n\1", FormatError, "MCAP"),
        (b"Event Stream\2\0\0\0", TruncatedError, "within the header of an event stream"),
        (b"\x93NUMPY\1\0", FormatError, "no readable NumPy header"),
        (b"version https://git-lfs.github.com/spec/v1\noid", FormatError, "Git LFS pointer.*git lfs pull"),
        (b"t,x,y\n1000,3,4\n", FormatError, "text \\('t,x,y 1000,3,4'\\)"),
        ("Zeit [µs]\n".encode(), FormatError, "this is text"),
        (b"\n<!DOCTYPE html><html>", FormatError, "a web page"),
        (b"%PDF-1.7\n%\xe2\xe3\n1 0 obj\n", FormatError, "PDF"),
        (bytes(4096), FormatError, "a file of zeros"),
        (evt3([(1, 2, 3, 1)]), FormatError, "bytes 00 80 01 60 03 00 02 28, which is no known format"),
        (gzip.compress(b"x", mtime=0), FormatError, "gzip of something else"),
        (b"PK\x03\x04....", FormatError, "is damaged: File is not a zip file"),
        (b"#!AER-DAT2.0\r\n", FormatError, "AEDAT before version 4"),
        (b"#ROSBAG V2.0\n", FormatError, "ROS bag"),
        (b"% plugin_name x\n% end\n", FormatError, "names no event format"),
        (b"% format DIFF3D\n% end\n", FormatError, "DIFF3D"),
        (b"% Version 2\n% Wid", TruncatedError, "within its text header"),
        (b"% Version 2\n", TruncatedError, "event type and size"),
        (b"% Version 2\n\x0e\x08", FormatError, "external triggers"),
        (b"% Version 2\n% Width 9999\n\x0c\x08", GeometryError, "9999"),
    ],
)
def test_unsupported_content_is_rejected_by_name(tmp_path, content, error, message):
    path = tmp_path / "recording.dat"
    path.write_bytes(content)
    with pytest.raises(error, match=message) as error_info:
        open_recording(path)
    assert "\n" not in str(error_info.value)


def test_directory_and_missing_file_are_rejected(tmp_path):
    with pytest.raises(FormatError, match="is a directory"):
        open_recording(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_recording(tmp_path / "absent.dat")


@pytest.mark.parametrize(
    ("head", "format"),
    [
        (HEADER, "dat"),
        (b"% evt 2.1\n% end\n", "evt21"),
        (b"\x89HDF\r\n\x1a\n", "hdf5"),
        (bytes(512) + b"\x89HDF\r\n\x1a\n", "hdf5"),
        (b"#!AER-DAT4.0\r\n", "aedat4"),
    ],
)
def test_sniff_detects_format(head, format):
    assert sniff(head) == format


@given(head=st.binary(max_size=80), offset=st.integers(0, 80))
@settings(max_examples=200, deadline=None)
def test_sniff_returns_format_or_ingest_error(head, offset):
    data = bytearray(HEADER)
    data[offset : offset + len(head)] = head
    with suppress(IngestError):
        assert sniff(bytes(data)) in {*RECORDING_FORMATS, "gzip"}


def test_copied_events_are_equal_and_independent() -> None:
    events = np.zeros(6, EVENT_DTYPE)
    events["t"], events["x"], events["p"] = np.arange(6), 7, 1
    for part in (events[1:4], events[::2], events[:0]):
        copied = copy_events(part)
        assert copied.dtype == EVENT_DTYPE
        assert np.array_equal(copied, part)
        assert not np.shares_memory(copied, events)
