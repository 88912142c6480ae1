"""Detection of an HDF5 file's event layout, from its structure and never from its name.

    metavision  CD/events, compound; ECF       docs.prophesee.ai, "HDF5 Event File Format"
    dsec        events/{t,x,y,p}, t_offset     DSEC, dsec.ifi.uzh.ch
                events/{ts,xs,ys,ps}           the same and the next, with other names
    rvt         events/{t,x,y,p}               RVT's Gen1 and 1 Mpx, eTraM; events/height, width optional
    m3ed        prophesee/<camera>/{t,x,y,p}   M3ED (cameras left, right), EvTTC (event_cam_left, ...)
    rows        events, compound or (N, 4)     v2e: columns t, x, y, p

Time indexes in the files (CD/indexes, ms_to_idx, ms_map_idx) are not used: they may be empty, and their zero
differs between writers, while a binary search over the times reads few chunks.
"""

import math
from dataclasses import dataclass, replace

import h5py
import numpy as np

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.formats.sensor_size import SensorSize, size_from_header
from spikewatch.ingest.hdf5.attributes import AttributeReader, read_attributes_isolated
from spikewatch.ingest.hdf5.file import get_member, member_names
from spikewatch.ingest.hdf5.tables import (
    ACCEPTED_NAMES_TEXT,
    EventTable,
    find_event_names,
    open_column_table,
    open_row_table,
)

_MAX_OFFSET_US = 1 << 62
_MAX_NAMES_SHOWN = 12
_ATTRIBUTES = (
    "t_offset",
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
    """The event table of a file. `t_offset_us` is added to each stored time; sensor size in pixels.

    `camera` is the one that is read, and `other_cameras` are left out; None and none if it has no name.
    """

    name: str
    table: EventTable
    sensor_size: SensorSize = (None, None)
    t_offset_us: int = 0
    camera: str | None = None
    other_cameras: tuple[str, ...] = ()


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
        name = camera or _default_camera(list(cameras))
        others = tuple(other for other in cameras if other != name)
        return replace(_m3ed_layout(cameras[name], file), camera=name, other_cameras=others)
    group = get_member(file, "CD")
    events = get_member(group, "events") if isinstance(group, h5py.Group) else None
    name = "metavision"
    if not isinstance(events, h5py.Dataset):
        name, events = "rows", get_member(file, "events")
    if isinstance(events, h5py.Dataset):
        attributes = _read_root_attributes(file, attribute_reader)
        offset = _t_offset(file, file, attributes)
        return Hdf5Layout(name, open_row_table(events), size_from_header(attributes, {}), offset or 0)
    columns = _event_columns(events)
    if columns is not None and isinstance(events, h5py.Group):
        return _dsec_or_rvt_layout(file, events, columns, _read_root_attributes(file, attribute_reader))
    raise FormatError(_unknown_layout_message(file))


def named_layout(file: h5py.File, names: tuple[str, ...]) -> Hdf5Layout:
    """Return the layout of four datasets that the caller names by their paths: t, x, y, p.

    Raises:
        FormatError: one is no dataset, or not of integers.
        MissingDependencyError, TruncatedError: the events cannot be read.
    """
    columns = {}
    for letter, path in zip("txyp", names, strict=True):
        item: h5py.Group | h5py.Dataset | None = file
        for part in path.strip("/").split("/"):
            item = get_member(item, part) if isinstance(item, h5py.Group) else None
        if not isinstance(item, h5py.Dataset):
            raise FormatError(
                f"no dataset {path!r}; at its root the file has: {', '.join(member_names(file))}"
            )
        columns[letter] = item
    return Hdf5Layout("columns", open_column_table(columns))


def _m3ed_layout(group: h5py.Group, file: h5py.File) -> Hdf5Layout:
    columns = _event_columns(group)
    assert columns is not None
    size: SensorSize = (None, None)
    calibration = get_member(group, "calib")
    resolution = get_member(calibration, "resolution") if isinstance(calibration, h5py.Group) else None
    if isinstance(resolution, h5py.Dataset) and resolution.size == 2 and resolution.dtype.kind in "iu":
        width, height = np.ravel(resolution[()]).tolist()
        size = (width, height)
    return Hdf5Layout("m3ed", open_column_table(columns), size, _t_offset(group, file, {}) or 0)


def _dsec_or_rvt_layout(
    file: h5py.File, events: h5py.Group, columns: dict[str, h5py.Dataset], attributes: dict[str, str]
) -> Hdf5Layout:
    size = (_read_scalar(events, file, "width"), _read_scalar(events, file, "height"))
    if size == (None, None):
        size = size_from_header(attributes, {})
    offset = _t_offset(events, file, attributes)
    if offset is None:
        return Hdf5Layout("rvt", open_column_table(columns), size)
    return Hdf5Layout("dsec", open_column_table(columns), size, offset)


def _t_offset(group: h5py.Group, file: h5py.File, attributes: dict[str, str]) -> int | None:
    """Return the offset to add to all times, from a dataset or a root attribute; None if there is none.

    Raises:
        FormatError: the offset is not one whole number of microseconds, or out of bounds.
    """
    offset = _read_scalar(group, file, "t_offset")
    if offset is None and "t_offset" in attributes:
        offset = _whole_number("t_offset", attributes["t_offset"])
    if offset is not None and abs(offset) > _MAX_OFFSET_US:
        raise FormatError(f"t_offset is {offset} us, beyond {_MAX_OFFSET_US} us; the file is damaged")
    return offset


def _whole_number(name: str, value: object) -> int:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number != int(number):
        raise FormatError(f"{name} is {str(value)[:40]!r}; expected one whole number")
    return int(str(value)) if str(value).lstrip("-").isdecimal() else int(number)


def _event_columns(group: h5py.Group | h5py.Dataset | None) -> dict[str, h5py.Dataset] | None:
    """Return the datasets of a group for t, x, y, p, or None if one is absent."""
    if not isinstance(group, h5py.Group):
        return None
    names = find_event_names(member_names(group))
    if names is None:
        return None
    columns = {column: get_member(group, name) for column, name in zip("txyp", names, strict=True)}
    return columns if all(isinstance(column, h5py.Dataset) for column in columns.values()) else None


def _find_cameras(group: h5py.Group | h5py.Dataset | None) -> dict[str, h5py.Group]:
    if not isinstance(group, h5py.Group):
        return {}
    members = {name: get_member(group, name) for name in member_names(group)}
    return {name: item for name, item in members.items() if _event_columns(item) is not None}


def _default_camera(names: list[str]) -> str:
    return next((name for name in names if name == "left" or name.endswith("_left")), names[0])


def _read_scalar(group: h5py.Group, file: h5py.File, name: str) -> int | None:
    """Return a whole number from a one-element dataset of the group, else of the root; None if absent.

    Raises:
        FormatError: the dataset is something else; to leave it out would change times or the size.
    """
    for parent in (group, file):
        item = get_member(parent, name)
        if not isinstance(item, h5py.Dataset):
            continue
        if item.size != 1 or item.dtype.kind not in "iuf":
            raise FormatError(f"{name} is {_describe(item)}; expected one whole number")
        return _whole_number(name, np.ravel(item[()])[0].item())
    return None


def _read_root_attributes(file: h5py.File, attribute_reader: AttributeReader) -> dict[str, str]:
    """Return the root attributes that matter: those of Metavision are keys of its RAW headers, as text."""
    return attribute_reader(file, [name for name in _ATTRIBUTES if name in file.attrs])


def _unknown_layout_message(file: h5py.File) -> str:
    data = get_member(file, "data")
    if isinstance(data, h5py.Dataset) and data.ndim == 4:
        return (
            f"this HDF5 file has {data.shape[0]} preprocessed frames of {data.shape[1:]} (RVT's `data`), "
            "not events; pass the recording from which they were made"
        )
    names = member_names(file)
    shown = [f"{name} ({_describe(get_member(file, name))})" for name in names[:_MAX_NAMES_SHOWN]]
    events = get_member(file, "events")
    if isinstance(events, h5py.Group):
        members = ", ".join(member_names(events)[:_MAX_NAMES_SHOWN]) or "nothing"
        return f"the group events has the members {members}; expected {ACCEPTED_NAMES_TEXT}"
    more = ", ..." if len(names) > _MAX_NAMES_SHOWN else ""
    return f"this HDF5 file has no events in a known layout; it has: {', '.join(shown) or 'nothing'}{more}"


def _describe(item: h5py.Group | h5py.Dataset | None) -> str:
    if isinstance(item, h5py.Dataset):
        return f"dataset {item.shape} {item.dtype}"
    return "link" if item is None else "group"
