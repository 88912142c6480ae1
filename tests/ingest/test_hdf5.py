from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import ingest.hdf5_attributes
import ingest.hdf5_file
from ingest.errors import FormatError, GeometryError, IngestError, MissingFilterError, TruncatedError
from ingest.events import EVENT_DTYPE, Events
from ingest.hdf5 import Hdf5Recording
from ingest.recording import Recording, open_recording
from tests.ingest import hdf5_files as files
from tests.ingest.hdf5_files import COMPRESSIONS, HEIGHT, WIDTH, some_events

WRITERS = {
    "hdf5-metavision": files.write_metavision,
    "hdf5-dsec": files.write_dsec,
    "hdf5-rvt": files.write_rvt,
    "hdf5-m3ed": files.write_m3ed,
    "hdf5-rows": files.write_v2e,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "named_like_nothing"


def read(recording: Recording, max_events: int = 1 << 17) -> Events:
    chunks = list(recording.chunks(max_events))
    assert all(0 < len(chunk) <= max_events for chunk in chunks)
    assert recording.stats.events == sum(map(len, chunks))
    return np.concatenate(chunks) if chunks else np.empty(0, EVENT_DTYPE)


def write_columns(path: Path, **columns: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[f"events/{name}"] = values


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("layout", WRITERS)
def test_layouts_are_read_back_exactly(path: Path, layout: str, compression: str) -> None:
    events = some_events(5000)
    chunks = {} if compression == "none" else {"chunks": (700, 4) if layout == "hdf5-rows" else (700,)}
    WRITERS[layout](path, events, **COMPRESSIONS[compression], **chunks)
    with open_recording(path) as recording:
        assert recording.format == layout
        for max_events in (1 << 17, 1000, 699):
            assert np.array_equal(read(recording, max_events), events)
        assert recording.progress() == 1.0


@pytest.mark.parametrize("n", [1, 16384, 40_000])
def test_ecf_is_decoded_without_a_plugin(path: Path, n: int) -> None:
    events = some_events(n)
    files.write_ecf(path, events)
    with open_recording(path) as recording:
        assert (recording.format, recording.sensor_size()) == ("hdf5-metavision", (WIDTH, HEIGHT))
        assert np.array_equal(read(recording), events)
        assert np.array_equal(read(recording, 999), events)


def test_ecf_chunks_that_the_optional_filter_skipped_are_read_as_they_are(path: Path) -> None:
    events = some_events(40_000)
    files.write_ecf(path, events, plain_chunks=(1, 2))
    with open_recording(path) as recording:
        assert np.array_equal(read(recording, 5000), events)


@pytest.mark.parametrize("writer", [*WRITERS.values(), files.write_ecf, files.write_compound])
def test_seek_gives_all_later_events(path: Path, writer: Callable[[Path, Events], None]) -> None:
    events = some_events(200_000)
    writer(path, events)
    with open_recording(path) as recording:
        for t_us in (0, 1000, 1001, 30_000, 60_000, int(events["t"][-1])):
            recording.seek(t_us)
            assert np.array_equal(read(recording), events[events["t"] >= t_us])
        recording.seek(int(events["t"][-1]) + 1)
        assert len(read(recording)) == 0
        recording.seek(-5)
        assert np.array_equal(read(recording), events)


def test_seek_starts_reading_near_the_time(path: Path) -> None:
    events = some_events(400_000)
    files.write_ecf(path, events[:200_000])
    with open_recording(path) as recording:
        recording.seek(int(events["t"][180_000]))
        next(iter(recording.chunks(100)))
        assert recording.progress() > 0.7


def test_unsorted_times_are_kept_and_found_by_seek(path: Path) -> None:
    rng = np.random.default_rng(3)
    events = some_events(200_000)
    for start in range(0, len(events), 500):
        events[start : start + 500] = rng.permutation(events[start : start + 500])
    files.write_rvt(path, events, chunks=(10_000,))
    with open_recording(path) as recording:
        assert np.array_equal(read(recording), events)
        recording.seek(70_000)
        assert np.array_equal(read(recording), events[events["t"] >= 70_000])
        info = recording.info()
        assert info.t_last_us == int(events["t"].max())


def test_columns_may_be_chunked_differently(path: Path) -> None:
    events = some_events(150_000)
    with h5py.File(path, "w") as file:
        for name, chunk in (("t", 70_000), ("x", 999), ("y", 150_000), ("p", 65_537)):
            file.create_dataset(f"events/{name}", data=events[name], chunks=(chunk,), compression="lzf")
    with open_recording(path) as recording:
        assert np.array_equal(read(recording, 40_000), events)


def test_each_chunk_is_loaded_once_whatever_the_slices(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = some_events(100_000)
    files.write_ecf(path, events)
    import ingest.hdf5_tables as tables

    decoded: list[int] = []
    monkeypatch.setattr(
        tables, "decode_ecf", lambda chunk, f=tables.decode_ecf: (decoded.append(1), f(chunk))[1]
    )
    with open_recording(path) as recording:
        read(recording, 100)
    assert len(decoded) == -(-len(events) // files.ECF_CHUNK)


def test_events_outside_the_sensor_are_dropped_and_counted(path: Path) -> None:
    write_columns(
        path,
        t=np.arange(8),
        x=np.array([0, -1, WIDTH - 1, WIDTH, 5, 1 << 40, -(1 << 40), 6]),
        y=np.array([0, 1, HEIGHT - 1, 2, HEIGHT, 3, 4, 65536]),
        p=np.array([-1, 1, 7, 1, 1, 1, 1, 1], "i1"),
    )
    with open_recording(path, WIDTH, HEIGHT) as recording:
        assert read(recording).tolist() == [(0, 0, 0, 0), (2, WIDTH - 1, HEIGHT - 1, 1)]
        assert recording.stats.dropped == {"outside_sensor": 6}
        assert recording.info().dropped == {"outside_sensor": 6}
    with open_recording(path) as recording:
        assert read(recording)["t"].tolist() == [0, 2, 3, 4]


def test_negative_times_are_dropped_and_counted(path: Path) -> None:
    write_columns(path, t=np.array([-7, 0, 7]), x=[1, 1, 1], y=[1, 1, 1], p=[True, False, True])
    with open_recording(path) as recording:
        assert read(recording).tolist() == [(0, 1, 1, 0), (7, 1, 1, 1)]
        assert recording.stats.dropped == {"negative_time": 1}


def test_sizes_come_from_the_file_and_must_not_be_contradicted(path: Path) -> None:
    events = some_events(10)
    for writer in (files.write_rvt, files.write_m3ed, files.write_metavision):
        writer(path, events)
        with open_recording(path) as recording:
            assert recording.sensor_size() == (WIDTH, HEIGHT)
        with pytest.raises(GeometryError, match="names width 640"):
            open_recording(path, 346, 260)
    files.write_dsec(path, events)
    with open_recording(path) as recording, pytest.raises(GeometryError, match="pass --width"):
        recording.sensor_size()


def test_cameras(path: Path) -> None:
    events = some_events(1000)
    files.write_m3ed(path, events)
    with Hdf5Recording(path, camera="right") as recording:
        assert np.array_equal(read(recording), events[::2])
    with pytest.raises(FormatError, match="no camera 'top'; left, right"):
        Hdf5Recording(path, camera="top")
    with h5py.File(path, "w") as file:
        files.write_columns(file.create_group("prophesee/event_cam_right"), events[::2])
        files.write_columns(file.create_group("prophesee/event_cam_left"), events)
    with Hdf5Recording(path) as recording:
        assert np.array_equal(read(recording), events)


def test_an_empty_recording(path: Path) -> None:
    files.write_rvt(path, some_events(0))
    with open_recording(path) as recording:
        recording.seek(5)
        info = recording.info()
    assert (info.events, info.t_first_us, info.duration_us) == (0, None, 0)


def test_preprocessed_frames_are_refused_as_such(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((3, 20, 24, 30), "u1")
    with pytest.raises(FormatError, match=r"3 preprocessed frames of \(20, 24, 30\).*not events"):
        open_recording(path)


def test_a_file_without_events_is_refused_with_what_it_has(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["depth"] = np.zeros((2, 3), "f4")
        file.create_group("calib")
    with pytest.raises(FormatError, match=r"it has calib \(group\), depth \(dataset \(2, 3\) float32\)"):
        open_recording(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"t": [0.5], "x": [1], "y": [1], "p": [1]}, "expected integers"),
        ({"t": [1, 2], "x": [1], "y": [1], "p": [1]}, "one common length"),
        ({"t": 1, "x": 1, "y": 1, "p": 1}, "one common length"),
        ({"t": [1], "x": [1], "y": [1]}, "no events in a known layout"),
    ],
)
def test_columns_that_are_not_events_are_refused(path: Path, columns: dict[str, Any], message: str) -> None:
    write_columns(path, **columns)
    with pytest.raises(FormatError, match=message):
        open_recording(path)


def test_a_missing_filter_is_named(path: Path) -> None:
    with h5py.File(path, "w") as file:
        files.ecf_dataset(file, EVENT_DTYPE, 10, filters=(32999,))
    with pytest.raises(
        MissingFilterError, match=r"/events is compressed with HDF5 filter 32999.*pip install"
    ):
        open_recording(path)


def test_ecf_beside_another_filter_or_on_another_type_is_refused(path: Path) -> None:
    for dtype, filters, message in (
        (files.ECF_ROW, (files.ECF_FILTER_ID, 1), "combines ECF"),
        (EVENT_DTYPE, (files.ECF_FILTER_ID,), "ECF compresses"),
    ):
        with h5py.File(path, "w") as file:
            dataset = files.ecf_dataset(file, dtype, 10, filters)
            dataset.id.write_direct_chunk((0,), b"\0" * 99)
        with pytest.raises(FormatError, match=message):
            open_recording(path)


def test_damaged_ecf_chunks_are_refused(path: Path) -> None:
    for damage, kind in ((lambda chunk: chunk[:-9], TruncatedError), (lambda _: b"\xff" * 99, FormatError)):
        files.write_ecf(path, some_events(100), damage=damage)
        with open_recording(path) as recording, pytest.raises(kind, match="ECF chunk"):
            read(recording)
    files.write_ecf(path, some_events(100), damage=lambda chunk: bytes(12))
    with open_recording(path) as recording, pytest.raises(TruncatedError, match="holds 0 of 100"):
        read(recording)


def test_data_that_were_announced_but_never_stored_are_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", (1 << 40,), "i8", chunks=(1 << 16,))
    with pytest.raises(TruncatedError, match="stores 0 of its 16777216 chunks"):
        open_recording(path)


def test_chunks_too_large_for_memory_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.hdf5_file, "MAX_CHUNK_BYTES", 1000)
    files.write_compound(path, some_events(1000), chunks=(100,))
    with pytest.raises(FormatError, match="has chunks of 1600 bytes"):
        open_recording(path)


def test_no_other_file_is_read(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    files.write_compound(secret, some_events(10))
    with h5py.File(path, "w") as file:
        file["events"] = h5py.ExternalLink(str(secret), "/events")
    with pytest.raises(FormatError, match=r"it has events \(link\)"):
        open_recording(path)
    with h5py.File(path, "w") as file:
        virtual = h5py.VirtualLayout((10,), EVENT_DTYPE)
        virtual[:] = h5py.VirtualSource(str(secret), "events", (10,))
        file.create_virtual_dataset("events", virtual)
    with pytest.raises(FormatError, match="keeps its data in other files"):
        open_recording(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("events", (10,), EVENT_DTYPE, external=[(str(secret), 0, 160)])
    with pytest.raises(FormatError, match="keeps its data in other files"):
        open_recording(path)


def test_a_cut_file_is_one_clear_error(path: Path) -> None:
    files.write_dsec(path, some_events(20_000), compression="lzf")
    whole = path.read_bytes()
    for size in (100, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(IngestError, match="HDF5"):
            Hdf5Recording(path)


@pytest.mark.parametrize("writer", [files.write_dsec, files.write_ecf, files.write_m3ed])
def test_damage_never_escapes_as_a_foreign_error(path: Path, writer: Callable[..., None]) -> None:
    writer(path, some_events(3000), **({} if writer is files.write_ecf else COMPRESSIONS["lzf"]))
    valid = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(10 if writer is files.write_ecf else 40):
        data = bytearray(valid)
        for at in rng.integers(8, len(data), 10):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            with Hdf5Recording(path) as recording:
                read(recording)
        except IngestError:
            refused += 1
    assert refused > 0


def test_a_damaged_heap_of_strings_does_not_hang_the_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_metavision(path, some_events(10))
    data = bytearray(path.read_bytes())
    first_size = data.index(b"GCOL") + 24  # bytes of the heap's first string
    data[first_size : first_size + 8] = (255).to_bytes(8, "little")
    path.write_bytes(data)
    monkeypatch.setattr(ingest.hdf5_attributes, "_TIMEOUT_S", 1.0)
    with pytest.raises(FormatError, match="its attributes cannot be read"):
        open_recording(path)


def test_events_with_text_are_refused(path: Path) -> None:
    dtype = np.dtype([*((name, "u4") for name in "txyp"), ("note", h5py.string_dtype())])
    with h5py.File(path, "w") as file:
        file.create_dataset("events", (3,), dtype)
    with pytest.raises(FormatError, match="text or references"):
        open_recording(path)


def test_a_closed_recording_says_so(path: Path) -> None:
    files.write_compound(path, some_events(10))
    recording = open_recording(path)
    recording.close()
    recording.close()
    with pytest.raises(ValueError, match="is closed"):
        next(iter(recording.chunks()))
