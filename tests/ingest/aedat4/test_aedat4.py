import importlib.util
import random
import struct
from pathlib import Path

import numpy as np
import pytest

from spikewatch.ingest.errors import (
    FormatError,
    GeometryError,
    IngestError,
    MissingDependencyError,
    TruncatedError,
)
from spikewatch.ingest.open import open_recording

EVENTS = 6676
"""Events of the clip; its DAT version begins with the same events."""


@pytest.fixture
def clip(recordings: Path) -> Path:
    pytest.importorskip("aedat")
    return recordings / "traffic_davis346_short.aedat4"


def dat_records(path: Path, count: int) -> np.ndarray:
    """Return the first records (count, 2) of a DAT file, t and address, without the code under test."""
    data = path.read_bytes()
    start = 0
    while data[start : start + 1] == b"%":
        start = data.index(b"\n", start) + 1
    return np.frombuffer(data, "<u4", 2 * count, start + 2).reshape(count, 2)


def test_aedat4_equals_same_clip_as_dat(clip: Path, recordings: Path) -> None:
    with open_recording(clip) as recording:
        events = np.concatenate(list(recording.chunks()))
    t, address = dat_records(recordings / "traffic_davis346_td.dat", EVENTS).T
    assert len(events) == EVENTS
    # AEDAT4 counts microseconds since 1970, the DAT file since its first event.
    assert (events["t"] - events["t"][0]).tolist() == t.tolist()
    assert events["x"].tolist() == (address & 0x3FFF).tolist()
    assert events["y"].tolist() == (address >> 14 & 0x3FFF).tolist()
    assert events["p"].tolist() == (address >> 28 & 1).tolist()


def test_info(clip: Path) -> None:
    with open_recording(clip) as recording:
        info = recording.info()
        assert recording.progress() == 1.0
    assert (info.format, info.width, info.height, info.events) == ("aedat4", 346, 260, EVENTS)
    assert info.dropped == {}
    assert info.t_first_us == 1_589_163_147_368_868
    assert info.duration_us == 169_941


@pytest.mark.parametrize("max_events", [1, 1000, 1 << 20])
def test_chunk_size_does_not_change_events(clip: Path, max_events: int) -> None:
    with open_recording(clip) as recording:
        whole = np.concatenate(list(recording.chunks()))
        chunks = list(recording.chunks(max_events))
        assert recording.stats.events == EVENTS
    assert all(0 < len(chunk) <= max_events for chunk in chunks)
    assert np.concatenate(chunks).tolist() == whole.tolist()


def test_seek(clip: Path) -> None:
    with open_recording(clip) as recording:
        whole = np.concatenate(list(recording.chunks()))
        middle = int(whole["t"][3000])
        recording.seek(middle)
        later = np.concatenate(list(recording.chunks(512)))
        assert later.tolist() == whole[whole["t"] >= middle].tolist()
        recording.seek(int(whole["t"][-1]) + 1)
        assert list(recording.chunks()) == []


def two_streams(clip: Path, path: Path) -> tuple[int, int]:
    """Write the clip with its event packets dealt to streams 0 and 1; return the packets of each."""
    data = clip.read_bytes()
    begin = 18 + int.from_bytes(data[14:18], "little")
    header = bytearray(data[:begin].replace(b">FRME<", b">EVTS<"))
    table = struct.unpack_from("<I", header, 18)[0] + 18
    field = struct.unpack_from("<H", header, table - struct.unpack_from("<i", header, table)[0] + 6)[0]
    end = struct.unpack_from("<q", header, table + field)[0]
    struct.pack_into("<q", header, table + field, -1)
    packets, position = [], begin
    while position < end:
        stream, length = struct.unpack_from("<ii", data, position)
        if stream == 0:
            packets.append(data[position + 8 : position + 8 + length])
        position += 8 + length
    dealt = b"".join(struct.pack("<ii", i % 3 == 2, len(p)) + p for i, p in enumerate(packets))
    path.write_bytes(bytes(header) + dealt)
    return len(packets) - len(packets) // 3, len(packets) // 3


def test_stream_is_chosen_and_others_named(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "two"
    assert min(two_streams(clip, path)) > 1
    found = {}
    for stream in (None, "0", "1"):
        with open_recording(path, stream=stream) as recording:
            info = recording.info()
        found[stream] = info.events
        left_out = EVENTS - info.events
        assert info.dropped == {"other_stream": left_out}
        read, other = (1, 0) if stream == "1" else (0, 1)
        assert info.warnings == [
            f"stream {read} was read; left out: {left_out:,} events of {other} (choose with --stream)"
        ]
    assert found[None] == found["0"] == EVENTS - found["1"] > found["1"] > 0
    for stream in ("2", "events"):
        with pytest.raises(FormatError, match=f"no event stream '{stream}'; it has: 0, 1"):
            open_recording(path, stream=stream)


@pytest.mark.parametrize("length", [0, 7])
def test_packets_too_short_for_content_are_rejected_at_once(tmp_path: Path, length: int) -> None:
    pytest.importorskip("aedat")
    path = tmp_path / "zeros"
    packet = struct.pack("<ii", 0, length) + bytes(length)
    path.write_bytes(b"#!AER-DAT4.0\r\n" + bytes(4) + packet * (8_000_000 // len(packet)))
    with pytest.raises(FormatError, match=f"packet 0 at byte 18 has length {length}"):
        open_recording(path)


def test_size_contradicting_file_is_rejected(clip: Path) -> None:
    with pytest.raises(GeometryError, match="has width 346, but --width is 640"):
        open_recording(clip, width=640, height=480)


def test_truncated_file_yields_events_then_error(clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(clip.read_bytes()[:200_000])
    with open_recording(cut) as recording, pytest.raises(TruncatedError, match="ends within packet"):
        list(recording.chunks(64))
    assert 0 < recording.stats.events < EVENTS


def test_file_truncated_in_header_is_rejected(clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(clip.read_bytes()[:100])
    with pytest.raises(TruncatedError):
        open_recording(cut)


@pytest.mark.parametrize(("offset", "message"), [(14, "header of"), (18 + 3104 + 4, "packet 0 at byte 3122")])
def test_huge_length_is_rejected_before_aedat_runs(
    clip: Path, tmp_path: Path, offset: int, message: str
) -> None:
    data = bytearray(clip.read_bytes())
    data[offset : offset + 4] = b"\xff\xff\xff\xff"
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    with pytest.raises(FormatError, match=message):
        open_recording(damaged)


def test_damage_raises_ingest_errors_only(clip: Path, tmp_path: Path) -> None:
    """The damaged headers include some on which the package panics, and some on which it aborts."""
    valid = clip.read_bytes()
    rng = random.Random(0)
    refused = 0
    for i in range(6):
        data = bytearray(valid)
        for _ in range(3):
            data[rng.randrange(20, 3000)] = rng.randrange(256)
        damaged = tmp_path / str(i)
        damaged.write_bytes(data)
        try:
            with open_recording(damaged) as recording:
                list(recording.chunks())
        except IngestError:
            refused += 1
    assert refused > 0


def test_abort_of_aedat_ends_only_the_worker(clip: Path, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    data[281] = 228  # within the XML of the header
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    with pytest.raises(FormatError, match="the package aedat failed"):
        open_recording(damaged)


def test_file_without_event_stream_is_rejected(clip: Path, tmp_path: Path) -> None:
    without = tmp_path / "without"
    without.write_bytes(clip.read_bytes().replace(b">EVTS<", b">TRIG<"))
    with pytest.raises(FormatError, match="has no event stream; it has: "):
        open_recording(without)


def test_missing_aedat_package_is_named(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "spikewatch\[aedat\]"'):
        open_recording(clip)


def test_closed_recording_rejects_chunks(clip: Path) -> None:
    recording = open_recording(clip)
    recording.close()
    recording.close()
    with pytest.raises(ValueError, match="is closed"):
        next(iter(recording.chunks()))
