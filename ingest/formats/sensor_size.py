"""Sensor size of a recording, from its header, its sensor's name or the caller.

Sources: docs.prophesee.ai "RAW File Format" (keys `geometry`, `format`, `width`, `height`) and, for the
sensor tables, the system identifiers and plugin names of OpenEB's `hal_psee_plugins` (Apache-2.0).
"""

import re
from collections.abc import Mapping

from spikewatch.ingest.errors import GeometryError
from spikewatch.ingest.events import MAX_SENSOR_PX

SensorSize = tuple[int | None, int | None]
"""(width, height) in pixels; None where unknown."""

_VGA, _HD, _GENX = (640, 480), (1280, 720), (320, 320)
_SIZE_BY_GENERATION = {
    **dict.fromkeys(("3.0", "3.1"), _VGA),
    **dict.fromkeys(("4.0", "4.1", "4.2"), _HD),
    **dict.fromkeys(("320.0", "320.1"), _GENX),
}
_SIZE_BY_NAME_PART = (("genx320", _GENX), ("imx636", _HD), ("imx646", _HD), ("gen4", _HD), ("gen3", _VGA))
_SIZE_BY_SYSTEM_ID = {
    **dict.fromkeys((0x15, 0x21, 0x22, 0x23, 0x28, 0x29), _VGA),
    **dict.fromkeys((0x1A, 0x1E, 0x1F, 0x20, 0x27, 0x2E, 0x30, 0x31, 0x32, 0x35, 0x3A), _HD),
    **dict.fromkeys((0x3B, 0x40), _GENX),
}


def size_from_header(fields: Mapping[str, str], parameters: Mapping[str, str]) -> SensorSize:
    """Return the sensor size that a header declares or its sensor implies, else (None, None).

    Args:
        fields: lower-case key to value, one entry per header line.
        parameters: the `key=value` items of `% format EVT3;height=720;width=1280`.

    Raises:
        GeometryError: the declared size is not two whole numbers.
    """
    for source in (parameters, fields):
        if "width" in source or "height" in source:
            return _parse_side(source.get("width")), _parse_side(source.get("height"))
    if "geometry" in fields:
        match = re.fullmatch(r"(\d{1,9})\s*[xX]\s*(\d{1,9})", fields["geometry"])
        if match is None:
            raise GeometryError(f"geometry {fields['geometry']!r} in the header; expected WIDTHxHEIGHT")
        return int(match[1]), int(match[2])
    return _size_from_sensor(fields) or (None, None)


def resolve_size(from_file: SensorSize, explicit: SensorSize, source: str) -> SensorSize:
    """Combine the size from a file and the size from the caller, side by side.

    Raises:
        GeometryError: the two differ in a side, or a side is not 1..MAX_SENSOR_PX.
    """
    sides: list[int | None] = []
    for side, in_file, from_caller in zip(("width", "height"), from_file, explicit, strict=True):
        if in_file is not None and from_caller is not None and in_file != from_caller:
            raise GeometryError(
                f"{source} has {side} {in_file}, but --{side} is {from_caller}; omit --{side}"
            )
        value = in_file if from_caller is None else from_caller
        if value is not None and not 1 <= value <= MAX_SENSOR_PX:
            raise GeometryError(f"{source}: {side} is {value}; expected 1 to {MAX_SENSOR_PX} pixels")
        sides.append(value)
    return sides[0], sides[1]


def _size_from_sensor(fields: Mapping[str, str]) -> tuple[int, int] | None:
    for key in ("sensor_generation", "generation"):
        if fields.get(key) in _SIZE_BY_GENERATION:
            return _SIZE_BY_GENERATION[fields[key]]
    names = f"{fields.get('sensor_name', '')} {fields.get('plugin_name', '')}".lower()
    for name_part, size in _SIZE_BY_NAME_PART:
        if name_part in names:
            return size
    # System ids are unique to a maker, and the table has Prophesee's.
    if fields.get("integrator_name", "Prophesee") == "Prophesee" and fields.get("system_id", "").isdecimal():
        return _SIZE_BY_SYSTEM_ID.get(int(fields["system_id"]))
    return None


def _parse_side(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise GeometryError(f"sensor side {text!r} in the header; expected a whole number of pixels")
    return int(text)
