"""Detection of an HDF5 file's event layout, from its structure and never from its name.

    metavision  CD/events, compound; ECF       docs.prophesee.ai, "HDF5 Event File Format"
    dsec        events/{t,x,y,p}, t_offset     DSEC, dsec.ifi.uzh.ch
    rvt         events/{t,x,y,p}               RVT's Gen1 and 1 Mpx, eTraM; events/height, width optional
    m3ed        prophesee/<camera>/{t,x,y,p}   M3ED (cameras left, right), EvTTC (event_cam_left, ...)
    rows        events, compound or (N, 4)     v2e: columns t, x, y, p

Time indexes in the files (CD/indexes, ms_to_idx, ms_map_idx) are not used: they may be empty, and their zero
differs between writers, while a binary search over the times reads few chunks.
"""

from dataclasses import dataclass

import h5py
import numpy as np

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.formats.sensor_size import SensorSize, size_from_header
from spikewatch.ingest.hdf5.attributes import AttributeReader, read_attributes_isolated
from spikewatch.ingest.hdf5.file import get_member, member_names
from spikewatch.ingest.hdf5.tables import EventTable, open_column_table, open_row_table

_MAX_OFFSET_US = 1 << 62
_MAX_NAMES_SHOWN = 12
_SIZE_ATTRIBUTES = (
    "geometry",
    "width",
    "height",
    "sensor_generation",
    "generation",
    "sensor_name",
    "plugin_name",
    "integrator_name",
    "system_id",
)


@dataclass(frozen=True, slots=True)
class Hdf5Layout:
    """The event table of a file. `t_offset_us` is added to each stored time; sensor size in pixels."""

    name: str
    table: EventTable
    sensor_size: SensorSize = (None, None)
    t_offset_us: int = 0


def detect_layout(
    file: h5py.File, camera: str | None = None, attribute_reader: AttributeReader = read_attributes_isolated
) -> Hdf5Layout:
    """Return the layout of an open file; `camera` selects one of several, by default the left or first.

    Raises:
        FormatError: frames, no events, or no such camera; the message lists the file's content.
        MissingDependencyError, TruncatedError, GeometryError: the events cannot be read.
    """
    cameras = _find_cameras(get_member(file, "prophesee"))
    if camera is not None and camera not in cameras:
        raise FormatError(
            f"camera {camera!r} not found; this file has: {', '.join(cameras) or 'no named camera'}"
        )
    if cameras:
        return _m3ed_layout(cameras[camera or _default_camera(list(cameras))])
    group = get_member(file, "CD")
    events = get_member(group, "events") if isinstance(group, h5py.Group) else None
    if isinstance(events, h5py.Dataset):
        return Hdf5Layout("metavision", open_row_table(events), _size_from_attributes(file, attribute_reader))
    events = get_member(file, "events")
    if isinstance(events, h5py.Dataset):
        return Hdf5Layout("rows", open_row_table(events), _size_from_attributes(file, attribute_reader))
    columns = _event_columns(events)
    if columns is not None and isinstance(events, h5py.Group):
        return _dsec_or_rvt_layout(file, events, columns)
    raise FormatError(_unknown_layout_message(file))


def _m3ed_layout(group: h5py.Group) -> Hdf5Layout:
    columns = _event_columns(group)
    assert columns is not None
    size: SensorSize = (None, None)
    calibration = get_member(group, "calib")
    resolution = get_member(calibration, "resolution") if isinstance(calibration, h5py.Group) else None
    if isinstance(resolution, h5py.Dataset) and resolution.size == 2 and resolution.dtype.kind in "iu":
        width, height = np.ravel(resolution[()]).tolist()
        size = (width, height)
    return Hdf5Layout("m3ed", open_column_table(columns), size)


def _dsec_or_rvt_layout(file: h5py.File, events: h5py.Group, columns: dict[str, h5py.Dataset]) -> Hdf5Layout:
    size = (_read_scalar(events, file, "width"), _read_scalar(events, file, "height"))
    offset = _read_scalar(events, file, "t_offset")
    if offset is None:
        return Hdf5Layout("rvt", open_column_table(columns), size)
    if abs(offset) > _MAX_OFFSET_US:
        raise FormatError(f"t_offset is {offset} us, beyond {_MAX_OFFSET_US} us; the file is damaged")
    return Hdf5Layout("dsec", open_column_table(columns), size, offset)


def _event_columns(group: h5py.Group | h5py.Dataset | None) -> dict[str, h5py.Dataset] | None:
    """Return the datasets t, x, y, p of a group, or None if one is absent."""
    if not isinstance(group, h5py.Group):
        return None
    columns = {name: get_member(group, name) for name in "txyp"}
    return columns if all(isinstance(column, h5py.Dataset) for column in columns.values()) else None


def _find_cameras(group: h5py.Group | h5py.Dataset | None) -> dict[str, h5py.Group]:
    if not isinstance(group, h5py.Group):
        return {}
    members = {name: get_member(group, name) for name in member_names(group)}
    return {name: item for name, item in members.items() if _event_columns(item) is not None}


def _default_camera(names: list[str]) -> str:
    return next((name for name in names if name == "left" or name.endswith("_left")), names[0])


def _read_scalar(group: h5py.Group, file: h5py.File, name: str) -> int | None:
    """Return an integer from a one-element dataset of the group, else of the root; None if absent."""
    for parent in (group, file):
        item = get_member(parent, name)
        if isinstance(item, h5py.Dataset) and item.size == 1 and item.dtype.kind in "iu":
            return int(np.ravel(item[()])[0])
    return None


def _size_from_attributes(file: h5py.File, attribute_reader: AttributeReader) -> SensorSize:
    """Return the size from Metavision's root attributes: strings with the keys of its RAW headers."""
    present = [name for name in _SIZE_ATTRIBUTES if name in file.attrs]
    return size_from_header(attribute_reader(file, present), {})


def _unknown_layout_message(file: h5py.File) -> str:
    data = get_member(file, "data")
    if isinstance(data, h5py.Dataset) and data.ndim == 4:
        return (
            f"this HDF5 file has {data.shape[0]} preprocessed frames of {data.shape[1:]} (RVT's `data`), "
            "not events; pass the recording from which they were made"
        )
    names = member_names(file)
    shown = [f"{name} ({_describe(get_member(file, name))})" for name in names[:_MAX_NAMES_SHOWN]]
    more = ", ..." if len(names) > _MAX_NAMES_SHOWN else ""
    return f"this HDF5 file has no events in a known layout; it has: {', '.join(shown) or 'nothing'}{more}"


def _describe(item: h5py.Group | h5py.Dataset | None) -> str:
    if isinstance(item, h5py.Dataset):
        return f"dataset {item.shape} {item.dtype}"
    return "link" if item is None else "group"
