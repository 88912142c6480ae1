"""Writers of HDF5 files in the known layouts, as their authors write them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.ingest.hdf5.ecf import ECF_FILTER_ID
from spikewatch.ingest.recording import Recording
from tests.ingest.support.ecf_encoder import PACKINGS, encode_ecf

ECF_ROW = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")], align=True)
ECF_CHUNK = 16384
WIDTH, HEIGHT = 640, 480

COMPRESSIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "gzip": {"compression": "gzip"},
    "lzf": {"compression": "lzf"},
    "blosc_zstd": {**hdf5plugin.Blosc(cname="zstd")},
    "zstd": {**hdf5plugin.Zstd()},
}


def some_events(n: int, seed: int = 0) -> Events:
    """Return n random events sorted by time, about two per microsecond."""
    rng = np.random.default_rng(seed)
    events = np.empty(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(1000, 1000 + max(n // 2, 1), n))
    events["x"], events["y"] = rng.integers(0, WIDTH, n), rng.integers(0, HEIGHT, n)
    events["p"] = rng.integers(0, 2, n)
    return events


def write_columns(group: h5py.Group, events: Events, **options: Any) -> None:
    for name in "txyp":
        group.create_dataset(name, data=events[name], **options)


def write_plain(path: Path, **columns: Any) -> None:
    """Write the given columns, valid or not."""
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[f"events/{name}"] = values


def write_rows(path: Path, rows: NDArray[Any]) -> None:
    """Write `/events` as it is given."""
    with h5py.File(path, "w") as file:
        file["events"] = rows


def read(recording: Recording, max_events: int = 1 << 17) -> Events:
    """Return all events of a recording, after checking the size of its chunks."""
    chunks = list(recording.chunks(max_events))
    assert all(0 < len(chunk) <= max_events for chunk in chunks)
    assert recording.stats.events == sum(map(len, chunks))
    return np.concatenate(chunks) if chunks else np.empty(0, EVENT_DTYPE)


def write_dsec(path: Path, events: Events, **options: Any) -> None:
    with h5py.File(path, "w") as file:
        write_columns(file.create_group("events"), _shifted(events, -700), **options)
        file["ms_to_idx"] = np.zeros(3, "u8")
        file["t_offset"] = np.int64(700)


def write_rvt(path: Path, events: Events, **options: Any) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("events")
        write_columns(group, events, **options)
        del group["p"]
        group["p"] = np.where(events["p"] > 0, 1, -1).astype("i1")
        group["height"], group["width"] = HEIGHT, WIDTH


def write_m3ed(path: Path, events: Events, **options: Any) -> None:
    with h5py.File(path, "w") as file:
        for camera, part in (("left", events), ("right", events[::2])):
            group = file.create_group(f"prophesee/{camera}")
            write_columns(group, part, **options)
            group["calib/resolution"] = np.array([WIDTH, HEIGHT])
            group["ms_map_idx"] = np.zeros(3, "u8")


def write_v2e(path: Path, events: Events, **options: Any) -> None:
    with h5py.File(path, "w") as file:
        rows = np.stack([events[name].astype("u4") for name in "txyp"], axis=1)
        file.create_dataset("events", data=rows, **options)


def write_compound(path: Path, events: Events, **options: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("events", data=events, **options)


def write_metavision(path: Path, events: Events, **options: Any) -> None:
    with h5py.File(path, "w") as file:
        _metavision_attributes(file)
        file.create_dataset("CD/events", data=compound(events), **options)


def write_ecf(
    path: Path, events: Events, plain_chunks: tuple[int, ...] = (), damage: Callable[[bytes], bytes] = bytes
) -> None:
    """Write Metavision's layout with ECF; chunks listed in `plain_chunks` are stored uncompressed."""
    with h5py.File(path, "w") as file:
        _metavision_attributes(file)
        dataset = ecf_dataset(file["CD"], ECF_ROW, len(events))
        for i, start in enumerate(range(0, len(events), ECF_CHUNK)):
            part = events[start : start + ECF_CHUNK]
            if i in plain_chunks:
                dataset.id.write_direct_chunk((start,), compound(part).tobytes(), filter_mask=1)
            else:
                columns = [part[name].tolist() for name in "txyp"]
                chunk = encode_ecf(*columns, packing=PACKINGS[i % len(PACKINGS)])
                dataset.id.write_direct_chunk((start,), damage(chunk), filter_mask=0)


def ecf_dataset(
    group: h5py.Group, dtype: np.dtype[Any], length: int, filters: tuple[int, ...] = (ECF_FILTER_ID,)
) -> h5py.Dataset:
    """Create a dataset `events` whose filters are declared but not run; write its chunks directly."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((ECF_CHUNK,))
    for number in filters:
        properties.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,))
    created = h5py.h5d.create(group.id, b"events", h5py.h5t.py_create(dtype), space, properties)
    dataset = h5py.Dataset(created)
    dataset.resize((length,))
    return dataset


def compound(events: Events) -> NDArray[Any]:
    rows = np.zeros(len(events), ECF_ROW)
    for name in "txyp":
        rows[name] = events[name]
    return rows


def _metavision_attributes(file: h5py.File) -> None:
    file.attrs["geometry"] = f"{WIDTH}x{HEIGHT}"
    file.attrs["version"] = "1.0"
    index = np.dtype([("id", "u8"), ("ts", "i8")])
    file.create_dataset("CD/indexes", (0,), index, maxshape=(None,)).attrs["offset"] = "0"


def _shifted(events: Events, by_us: int) -> Events:
    shifted = events.copy()
    shifted["t"] += by_us
    return shifted
