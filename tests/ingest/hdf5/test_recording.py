from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikewatch.ingest.errors import FormatError, GeometryError, NoEventsError
from spikewatch.ingest.events import Events
from spikewatch.ingest.hdf5.recording import Hdf5Recording
from spikewatch.ingest.open import open_recording
from tests.ingest.support import hdf5_files as files
from tests.ingest.support.cases import same
from tests.ingest.support.hdf5_files import COMPRESSIONS, HEIGHT, WIDTH, read, some_events, write_plain

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
def test_ecf_is_decoded_without_plugin(path: Path, n: int) -> None:
    events = some_events(n)
    files.write_ecf(path, events)
    with open_recording(path) as recording:
        assert (recording.format, recording.sensor_size()) == ("hdf5-metavision", (WIDTH, HEIGHT))
        assert np.array_equal(read(recording), events)
        assert np.array_equal(read(recording, 999), events)


def test_uncompressed_ecf_chunks_are_read(path: Path) -> None:
    events = some_events(40_000)
    files.write_ecf(path, events, plain_chunks=(1, 2))
    with open_recording(path) as recording:
        assert np.array_equal(read(recording, 5000), events)


@pytest.mark.parametrize("writer", [*WRITERS.values(), files.write_ecf, files.write_compound])
def test_seek_yields_all_later_events(path: Path, writer: Callable[[Path, Events], None]) -> None:
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


def test_seek_skips_earlier_blocks(path: Path) -> None:
    events = some_events(400_000)
    files.write_ecf(path, events[:200_000])
    with open_recording(path) as recording:
        recording.seek(int(events["t"][180_000]))
        next(iter(recording.chunks(100)))
        assert recording.progress() > 0.7


def test_seek_finds_unsorted_times(path: Path) -> None:
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


def test_columns_with_different_chunks_are_read(path: Path) -> None:
    events = some_events(150_000)
    with h5py.File(path, "w") as file:
        for name, chunk in (("t", 70_000), ("x", 999), ("y", 150_000), ("p", 65_537)):
            file.create_dataset(f"events/{name}", data=events[name], chunks=(chunk,), compression="lzf")
    with open_recording(path) as recording:
        assert np.array_equal(read(recording, 40_000), events)


def test_each_ecf_chunk_is_decoded_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = some_events(100_000)
    files.write_ecf(path, events)
    import spikewatch.ingest.hdf5.tables as tables

    decoded: list[int] = []
    monkeypatch.setattr(
        tables, "decode_ecf", lambda chunk, f=tables.decode_ecf: (decoded.append(1), f(chunk))[1]
    )
    with open_recording(path) as recording:
        read(recording, 100)
    assert len(decoded) == -(-len(events) // files.ECF_CHUNK)


def test_events_outside_sensor_are_dropped_and_counted(path: Path) -> None:
    write_plain(
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
    write_plain(path, t=np.array([-7, 0, 7]), x=[1, 1, 1], y=[1, 1, 1], p=[True, False, True])
    with open_recording(path) as recording:
        assert read(recording).tolist() == [(0, 1, 1, 0), (7, 1, 1, 1)]
        assert recording.stats.dropped == {"negative_time": 1}


def test_hdf5_size_is_used_and_checked(path: Path) -> None:
    events = some_events(10)
    for writer in (files.write_rvt, files.write_m3ed, files.write_metavision):
        writer(path, events)
        with open_recording(path) as recording:
            assert recording.sensor_size() == (WIDTH, HEIGHT)
        with pytest.raises(GeometryError, match="has width 640, but --width is 346"):
            open_recording(path, 346, 260)
    files.write_dsec(path, events)
    with open_recording(path) as recording, pytest.raises(GeometryError, match="pass --width"):
        recording.sensor_size()


def test_camera_is_selected_by_name_or_left(path: Path) -> None:
    events = some_events(1000)
    files.write_m3ed(path, events)
    with Hdf5Recording(path, camera="right") as recording:
        assert np.array_equal(read(recording), events[::2])
    with pytest.raises(FormatError, match="camera 'top' not found; this file has: left, right"):
        Hdf5Recording(path, camera="top")
    with h5py.File(path, "w") as file:
        files.write_columns(file.create_group("prophesee/event_cam_right"), events[::2])
        files.write_columns(file.create_group("prophesee/event_cam_left"), events)
    with Hdf5Recording(path) as recording:
        assert np.array_equal(read(recording), events)


@pytest.mark.parametrize("isolated", [False, True])
def test_empty_hdf5_recording_is_rejected(path: Path, isolated: bool) -> None:
    files.write_rvt(path, some_events(0))
    with pytest.raises(NoEventsError, match="has no events: its event table is empty"):
        open_recording(path, isolated=isolated)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("rows", [True, False])
def test_minus_one_stored_unsigned_is_off(path: Path, kind: str, rows: bool) -> None:
    events = some_events(1000)
    signed = np.where(events["p"] > 0, 1, -1).astype(kind)
    if rows:
        table = np.stack([*(events[name].astype("u8") for name in "txy"), signed.astype(kind)], axis=1)
        if kind not in ("u4", "u8"):
            pytest.skip("times do not fit into columns of this type")
        files.write_rows(path, table.astype(kind))
    else:
        files.write_plain(path, t=events["t"], x=events["x"], y=events["y"], p=signed)
    with open_recording(path, files.WIDTH, files.HEIGHT) as recording:
        assert same(files.read(recording), events)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "u8"])
def test_time_offset_of_any_type_is_added(path: Path, dtype: str) -> None:
    events = some_events(1000)
    files.write_plain(path, **{name: events[name] for name in "txyp"})
    with h5py.File(path, "a") as file:
        file["t_offset"] = np.array(57_922, dtype)
    with open_recording(path, files.WIDTH, files.HEIGHT) as recording:
        assert recording.format == "hdf5-dsec"
        assert (files.read(recording)["t"] == events["t"] + 57_922).all()


@pytest.mark.parametrize("value", [57_922_807_588, 57_922_807_588.0, "57922807588"])
def test_time_offset_as_attribute_is_added(path: Path, value: object) -> None:
    events = some_events(1000)
    files.write_plain(path, **{name: events[name] for name in "txyp"})
    with h5py.File(path, "a") as file:
        file.attrs["t_offset"] = value
    with open_recording(path, files.WIDTH, files.HEIGHT) as recording:
        assert (files.read(recording)["t"] == events["t"] + 57_922_807_588).all()


@pytest.mark.parametrize("compound", [False, True])
def test_names_with_s_are_read(path: Path, compound: bool) -> None:
    events = some_events(1000)
    if compound:
        dtype = [(f"{name}s", events.dtype[name]) for name in "pxyt"]
        table = np.zeros(1000, dtype)
        for name in "txyp":
            table[f"{name}s"] = events[name]
        files.write_rows(path, table)
    else:
        files.write_plain(path, **{f"{name}s": events[name] for name in "txyp"})
    with open_recording(path, files.WIDTH, files.HEIGHT) as recording:
        assert same(files.read(recording), events)


def test_camera_is_chosen_and_the_other_named(path: Path) -> None:
    events = some_events(1000)
    files.write_m3ed(path, events)
    for isolated in (False, True):
        with open_recording(path, stream="right", isolated=isolated) as recording:
            info = recording.info()
        assert info.events == 500
        assert info.warnings == ["camera right was read; left out: left (choose with --stream)"]


def test_stray_time_beyond_all_ranges_is_dropped(path: Path) -> None:
    events = some_events(1000)
    events["t"][500] = 1 << 62
    files.write_compound(path, events)
    with open_recording(path, files.WIDTH, files.HEIGHT) as recording:
        info = recording.info()
    assert (info.events, info.dropped) == (999, {"time_out_of_range": 1})


def test_closed_recording_rejects_chunks(path: Path) -> None:
    files.write_compound(path, some_events(10))
    recording = open_recording(path)
    recording.close()
    recording.close()
    with pytest.raises(ValueError, match="is closed"):
        next(iter(recording.chunks()))
