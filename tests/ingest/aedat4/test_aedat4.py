import importlib.util
import random
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
"""Events of the clip; the same clip as DAT begins with them."""


@pytest.fixture
def clip(recordings: Path) -> Path:
    pytest.importorskip("aedat")
    return recordings / "traffic_davis346_short.aedat4"


def dat_records(path: Path, count: int) -> np.ndarray:
    """The first records (count, 2) of a DAT file, read without the package under test: t, address."""
    data = path.read_bytes()
    start = 0
    while data[start : start + 1] == b"%":
        start = data.index(b"\n", start) + 1
    return np.frombuffer(data, "<u4", 2 * count, start + 2).reshape(count, 2)


def test_equals_the_same_clip_as_dat(clip: Path, recordings: Path) -> None:
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
def test_any_chunk_size_gives_the_same_events(clip: Path, max_events: int) -> None:
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


def test_a_size_that_contradicts_the_file_is_refused(clip: Path) -> None:
    with pytest.raises(GeometryError, match="names width 346"):
        open_recording(clip, width=640, height=480)


def test_a_cut_file_gives_its_events_and_then_one_clear_error(clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(clip.read_bytes()[:200_000])
    with open_recording(cut) as recording, pytest.raises(TruncatedError, match="ends within packet"):
        list(recording.chunks(64))
    assert 0 < recording.stats.events < EVENTS


def test_a_file_cut_in_its_header_is_refused(clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(clip.read_bytes()[:100])
    with pytest.raises(TruncatedError):
        open_recording(cut)


@pytest.mark.parametrize(("at", "what"), [(14, "header of"), (18 + 3104 + 4, "packet 0 at byte 3122")])
def test_a_length_beyond_all_memory_is_refused_before_the_package_sees_it(
    clip: Path, tmp_path: Path, at: int, what: str
) -> None:
    data = bytearray(clip.read_bytes())
    data[at : at + 4] = b"\xff\xff\xff\xff"
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    with pytest.raises(FormatError, match=what):
        open_recording(damaged)


def test_damage_never_escapes_as_a_foreign_error(clip: Path, tmp_path: Path) -> None:
    """Among the damaged headers are some over which the package panics, and some over which it aborts."""
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


def test_a_file_over_which_the_package_aborts_costs_only_the_worker(clip: Path, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    data[281] = 228  # within the XML of the header
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    with pytest.raises(FormatError, match="the package aedat failed"):
        open_recording(damaged)


def test_a_recording_without_events_is_refused(clip: Path, tmp_path: Path) -> None:
    without = tmp_path / "without"
    without.write_bytes(clip.read_bytes().replace(b">EVTS<", b">TRIG<"))
    with pytest.raises(FormatError, match="holds no events, only: "):
        open_recording(without)


def test_the_missing_package_is_named(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "spikewatch\[aedat\]"'):
        open_recording(clip)


def test_a_closed_recording_says_so(clip: Path) -> None:
    recording = open_recording(clip)
    recording.close()
    recording.close()
    with pytest.raises(ValueError, match="is closed"):
        next(iter(recording.chunks()))
