"""HDF5 read in a child process: events are the same, and a hostile child cannot harm its parent."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spikewatch.ingest.errors import FormatError, GeometryError, IngestError, TruncatedError
from spikewatch.ingest.hdf5.isolated import IsolatedHdf5Recording
from spikewatch.ingest.hdf5.recording import Hdf5Recording
from spikewatch.ingest.open import open_recording
from tests.ingest.support import hdf5_files as files
from tests.ingest.support.hdf5_files import read, some_events

WRITERS = {
    "metavision": files.write_metavision,
    "ecf": files.write_ecf,
    "dsec": files.write_dsec,
    "rvt": files.write_rvt,
    "m3ed": files.write_m3ed,
    "rows": files.write_v2e,
}


class Hostile(IsolatedHdf5Recording):
    worker_module = "tests.ingest.support.hostile_reader"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "named_like_nothing"


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_isolated_reading_equals_in_process_reading(path: Path, writer: Callable[..., None]) -> None:
    events = some_events(100_000)
    writer(path, events)
    with Hdf5Recording(path) as plain, open_recording(path, isolated=True) as isolated:
        assert isinstance(isolated, IsolatedHdf5Recording)
        for max_events, t_us in ((1 << 17, None), (1000, None), (1 << 17, 30_000), (77, 49_000)):
            for recording in (plain, isolated):
                if t_us is not None:
                    recording.seek(t_us)
            expected, actual = (list(recording.chunks(max_events)) for recording in (plain, isolated))
            assert [len(chunk) for chunk in actual] == [len(chunk) for chunk in expected]
            assert np.array_equal(np.concatenate(actual), np.concatenate(expected))
            assert (isolated.stats, isolated.progress()) == (plain.stats, plain.progress())
        assert (isolated.format, isolated.width, isolated.height) == (plain.format, plain.width, plain.height)
        assert isolated.info() == plain.info()


def test_unfinished_pass_can_be_restarted(path: Path) -> None:
    events = some_events(300_000)
    files.write_rvt(path, events)
    with open_recording(path, isolated=True) as recording:
        first = recording.chunks(1000)
        assert np.array_equal(next(first), events[:1000])
        assert np.array_equal(read(recording), events)
        first.close()
        unfinished = recording.chunks(1000)
        next(unfinished)
    with pytest.raises(FormatError, match="ended after 0 of 8 bytes"):
        list(unfinished)
    with pytest.raises(ValueError, match="is closed"):
        next(recording.chunks())


def test_isolated_errors_equal_in_process_errors(path: Path) -> None:
    for writer, sizes in ((files.write_rvt, (10, 10)), (files.write_rvt, (9999, 9999))):
        writer(path, some_events(10))
        with pytest.raises(GeometryError) as expected:
            Hdf5Recording(path, *sizes)
        with pytest.raises(GeometryError) as actual:
            IsolatedHdf5Recording(path, *sizes)
        assert str(actual.value) == str(expected.value)
    files.write_plain(path, t=[0.5], x=[1], y=[1], p=[1])
    with pytest.raises(FormatError, match="expected integers"):
        open_recording(path, isolated=True)
    files.write_ecf(path, some_events(100), damage=lambda chunk: chunk[:-9])
    with open_recording(path, isolated=True) as recording, pytest.raises(TruncatedError, match="ECF chunk"):
        read(recording)


def test_damage_raises_ingest_errors_only(path: Path) -> None:
    files.write_rvt(path, some_events(3000), compression="lzf")
    valid = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(6):
        data = bytearray(valid)
        for index in rng.integers(8, len(data), 10):
            data[index] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            with open_recording(path, isolated=True) as recording:
                read(recording)
        except IngestError:
            continue


def test_damaged_string_heap_times_out(path: Path) -> None:
    files.write_metavision(path, some_events(10))
    data = bytearray(path.read_bytes())
    first_size = data.index(b"GCOL") + 24  # bytes of the heap's first string
    data[first_size : first_size + 8] = (255).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(FormatError, match="sent nothing for 2 s"):
        IsolatedHdf5Recording(path, timeout_s=2.0)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("abort", "ended after 0 of 8 bytes"),
        ("hang", "sent nothing for 3 s"),
        ("memory", "ended after 0 of 8 bytes"),
        ("huge", "declared a message of 4294967295 bytes"),
        ("garbage", "reading it failed"),
        ("progress", "reading it failed"),
        ("turn", "sent message type 0; expected"),
        ("empty", "events, more than .* or out of bounds"),
        ("ragged", "reading it failed"),
        ("x", "1 events, more than .* or out of bounds"),
        ("y", "1 events, more than .* or out of bounds"),
        ("p", "1 events, more than .* or out of bounds"),
        ("t", "1 events, more than .* or out of bounds"),
    ],
)
def test_hostile_child_output_is_rejected(path: Path, behaviour: str, message: str) -> None:
    path.write_text(behaviour)
    with Hostile(path, timeout_s=3.0) as recording, pytest.raises(FormatError, match=message):
        list(recording.chunks())


def test_child_has_limits_and_no_secrets(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEWATCH_API_KEYS", "secret")
    path.write_text("limits")
    with pytest.raises(TruncatedError) as error:
        Hostile(path)
    report = json.loads(str(error.value))
    assert report["limits"] == [4 << 30, 60 + 3, 1 << 26, 0]
    assert "PATH" in report["environment"]
    assert not [name for name in report["environment"] if name.startswith("SPIKEWATCH")]
