"""HDF5 files that are rejected, each with one IngestError."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import spikewatch.ingest.hdf5.attributes
import spikewatch.ingest.hdf5.file
from spikewatch.ingest.errors import FormatError, IngestError, MissingDependencyError, TruncatedError
from spikewatch.ingest.events import EVENT_DTYPE
from spikewatch.ingest.hdf5.recording import Hdf5Recording
from spikewatch.ingest.open import open_recording
from tests.ingest.support import hdf5_files as files
from tests.ingest.support.hdf5_files import COMPRESSIONS, read, some_events, write_plain


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "named_like_nothing"


def test_preprocessed_frames_are_rejected_by_name(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((3, 20, 24, 30), "u1")
    with pytest.raises(FormatError, match=r"3 preprocessed frames of \(20, 24, 30\).*not events"):
        open_recording(path)


def test_file_without_events_is_rejected_with_content(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["depth"] = np.zeros((2, 3), "f4")
        file.create_group("calib")
    with pytest.raises(FormatError, match=r"it has: calib \(group\), depth \(dataset \(2, 3\) float32\)"):
        open_recording(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"t": [0.5], "x": [1], "y": [1], "p": [1]}, "expected integers"),
        ({"t": [1, 2], "x": [1], "y": [1], "p": [1]}, "expected four one-dimensional datasets"),
        ({"t": 1, "x": 1, "y": 1, "p": 1}, "expected four one-dimensional datasets"),
        (
            {"t": [1], "x": [1], "y": [1]},
            "events has the members t, x, y; expected t, x, y, p or ts, xs, ys, ps",
        ),
    ],
)
def test_columns_that_are_not_events_are_rejected(path: Path, columns: dict[str, Any], message: str) -> None:
    write_plain(path, **columns)
    with pytest.raises(FormatError, match=message):
        open_recording(path)


@pytest.mark.parametrize("value", [0.5, np.nan, [1, 2], "soon"])
def test_time_offset_that_cannot_be_added_is_rejected(path: Path, value: Any) -> None:
    events = some_events(100)
    write_plain(path, **{name: events[name] for name in "txyp"})
    with h5py.File(path, "a") as file:
        file["t_offset"] = value
    with pytest.raises(FormatError, match=r"t_offset is .*; expected one whole number"):
        open_recording(path)


def test_rows_in_another_order_are_rejected(path: Path) -> None:
    events = some_events(1000)
    files.write_rows(path, np.stack([events[name].astype("u4") for name in "xytp"], axis=1))
    with pytest.raises(FormatError, match=r"column 3 rises like a time.*in the order t, x, y, p"):
        open_recording(path, 320, 240)


@pytest.mark.parametrize("isolated", [False, True])
def test_file_that_its_writer_has_open_is_named(path: Path, isolated: bool) -> None:
    open_for_writing = h5py.File(path, "w", libver="latest")
    open_for_writing["events/t"] = [1, 2]
    open_for_writing.swmr_mode = True
    open_for_writing.flush()
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    open_for_writing.close()
    with pytest.raises(
        FormatError, match=r"still open by its writer, or its writer crashed.*h5clear -s copy"
    ):
        open_recording(copy, isolated=isolated)


def test_missing_hdf5_filter_is_named(path: Path) -> None:
    with h5py.File(path, "w") as file:
        files.ecf_dataset(file, EVENT_DTYPE, 10, filters=(32999,))
    with pytest.raises(
        MissingDependencyError, match=r"/events is compressed with HDF5 filter 32999.*pip install"
    ):
        open_recording(path)


def test_ecf_with_other_filter_or_type_is_rejected(path: Path) -> None:
    for dtype, filters, message in (
        (files.ECF_ROW, (files.ECF_FILTER_ID, 1), "combines ECF"),
        (EVENT_DTYPE, (files.ECF_FILTER_ID,), "expected .* with ECF"),
    ):
        with h5py.File(path, "w") as file:
            dataset = files.ecf_dataset(file, dtype, 10, filters)
            dataset.id.write_direct_chunk((0,), b"\0" * 99)
        with pytest.raises(FormatError, match=message):
            open_recording(path)


def test_damaged_ecf_chunks_are_rejected(path: Path) -> None:
    for damage, kind in ((lambda chunk: chunk[:-9], TruncatedError), (lambda _: b"\xff" * 99, FormatError)):
        files.write_ecf(path, some_events(100), damage=damage)
        with open_recording(path) as recording, pytest.raises(kind, match="ECF chunk"):
            read(recording)
    files.write_ecf(path, some_events(100), damage=lambda chunk: bytes(12))
    with open_recording(path) as recording, pytest.raises(TruncatedError, match="has 0 of 100"):
        read(recording)


def test_declared_but_unstored_data_are_rejected(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", (1 << 40,), "i8", chunks=(1 << 16,))
    with pytest.raises(TruncatedError, match="stores 0 of its 16777216 chunks"):
        open_recording(path)


def test_oversized_chunks_are_rejected(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spikewatch.ingest.hdf5.file, "MAX_CHUNK_BYTES", 1000)
    files.write_compound(path, some_events(1000), chunks=(100,))
    with pytest.raises(FormatError, match="has chunks of 1600 bytes"):
        open_recording(path)


def test_links_to_other_files_are_not_followed(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    files.write_compound(secret, some_events(10))
    with h5py.File(path, "w") as file:
        file["events"] = h5py.ExternalLink(str(secret), "/events")
    with pytest.raises(FormatError, match=r"it has: events \(link\)"):
        open_recording(path)
    with h5py.File(path, "w") as file:
        virtual = h5py.VirtualLayout((10,), EVENT_DTYPE)
        virtual[:] = h5py.VirtualSource(str(secret), "events", (10,))
        file.create_virtual_dataset("events", virtual)
    with pytest.raises(FormatError, match="has its data in other files"):
        open_recording(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("events", (10,), EVENT_DTYPE, external=[(str(secret), 0, 160)])
    with pytest.raises(FormatError, match="has its data in other files"):
        open_recording(path)


def test_truncated_hdf5_file_is_rejected(path: Path) -> None:
    files.write_dsec(path, some_events(20_000), compression="lzf")
    whole = path.read_bytes()
    for size in (100, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(IngestError, match="HDF5"):
            Hdf5Recording(path)


@pytest.mark.parametrize("writer", [files.write_dsec, files.write_ecf, files.write_m3ed])
def test_damage_raises_ingest_errors_only(path: Path, writer: Callable[..., None]) -> None:
    writer(path, some_events(3000), **({} if writer is files.write_ecf else COMPRESSIONS["lzf"]))
    valid = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(10 if writer is files.write_ecf else 40):
        data = bytearray(valid)
        for index in rng.integers(8, len(data), 10):
            data[index] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            with Hdf5Recording(path) as recording:
                read(recording)
        except IngestError:
            refused += 1
    assert refused > 0


def test_damaged_string_heap_does_not_hang_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_metavision(path, some_events(10))
    data = bytearray(path.read_bytes())
    first_size = data.index(b"GCOL") + 24  # bytes of the heap's first string
    data[first_size : first_size + 8] = (255).to_bytes(8, "little")
    path.write_bytes(data)
    monkeypatch.setattr(spikewatch.ingest.hdf5.attributes, "_TIMEOUT_S", 1.0)
    with pytest.raises(FormatError, match="its attributes cannot be read"):
        open_recording(path)


def test_events_with_text_are_rejected(path: Path) -> None:
    dtype = np.dtype([*((name, "u4") for name in "txyp"), ("note", h5py.string_dtype())])
    with h5py.File(path, "w") as file:
        file.create_dataset("events", (3,), dtype)
    with pytest.raises(FormatError, match="text or references"):
        open_recording(path)
