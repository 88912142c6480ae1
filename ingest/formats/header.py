"""Parser of the text header of DAT and RAW files: lines `% key value`, at most 64 KiB, before the events.

Source: docs.prophesee.ai, "RAW File Format" and "DAT File Format": ASCII lines that begin with "% " and end
with a line feed. The header ends at the optional line `% end`, or where a line does not begin with "% ".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spikewatch.ingest.errors import FormatError, TruncatedError
from spikewatch.ingest.formats.sensor_size import size_from_header

MAX_HEADER_BYTES = 64 * 1024

_MAX_LINE_BYTES = 4 * 1024
_MIN_FIRST_LINE_BYTES = 8
_LINE_PREFIX = b"% "
_BINARY_BYTE = re.compile(rb"[^\t\r\x20-\x7e]")
_FORMAT_BY_NAME = {
    **dict.fromkeys(("evt2", "evt2.0"), "evt2"),
    **dict.fromkeys(("evt21", "evt2.1"), "evt21"),
    **dict.fromkeys(("evt3", "evt3.0"), "evt3"),
}
_RAW_ONLY_KEYS = frozenset(
    {"plugin_name", "system_id", "integrator_name", "serial_number", "firmware_version"}
)


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed text header.

    Attributes:
        fields: lower-case key to value, in file order.
        format: "dat", "evt2", "evt21", "evt3", or None if a RAW header does not declare one.
        width, height: pixels; None if neither declared nor implied by the sensor's name.
        endianness: "little", unless an EVT2.1 header declares another ("legacy", "big").
    """

    fields: Mapping[str, str]
    format: str | None
    width: int | None
    height: int | None
    endianness: str


class HeaderParser:
    """Incremental parser that separates a stream's text header from its event data, fed in any chunks.

    The header is optional. A stream has one if its first eight bytes are printable and begin with "% ". A
    headerless DAT stream never does: the eighth byte of a record (polarity and the high bits of y) is a
    control character for every y below 4096. A headerless RAW stream would have to begin with four words of
    printable bytes, none of them a time word.

    Attributes:
        is_done: the header is complete or absent.
        header: the parsed header; None if absent or not complete yet.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.header: Header | None = None
        self._pending = bytearray()
        self._lines: list[str] = []
        self._consumed_bytes = 0

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """Parse the next bytes; return those after the header, or b"" while it is not complete.

        Raises:
            FormatError: a line or the header is too long, or the declared event format is not supported.
            GeometryError: the declared sensor size is malformed.
        """
        self._pending += data
        while not self.is_done:
            line = self._next_line()
            if line is None:
                return b""
            if not line:
                return self._finish_header()
            self._lines.append(line)
            if line.split() == ["%", "end"]:
                return self._finish_header()
        raise RuntimeError("the header is complete; feed no more bytes to its parser")  # no value

    def finish(self) -> bytes:
        """End the stream; return the pending bytes, which are data.

        Raises:
            TruncatedError: the stream ends within a header line.
        """
        if self._pending.startswith(_LINE_PREFIX):
            tail = bytes(self._pending[-40:])
            raise TruncatedError(f"the stream ends within its text header, after {tail!r}")
        return b"" if self.is_done else self._finish_header()

    def save(self) -> dict[str, Any]:
        """Return the state with which a later parser can resume, as plain values."""
        return {"done": self.is_done, "lines": list(self._lines), "pending": self._pending.hex()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Restore the state returned by `save`.

        Raises:
            FormatError, GeometryError: the saved lines are not a valid header.
            ValueError: `pending` is not hexadecimal.
        """
        self.is_done, self._lines = saved["done"], list(saved["lines"])
        self._pending = bytearray.fromhex(saved["pending"])
        self._consumed_bytes = sum(len(line) + 1 for line in self._lines)
        self.header = _parse_lines(self._lines) if self.is_done and self._lines else None

    def _next_line(self) -> str | None:
        """Return the next header line, "" if the data begin here, or None if more bytes are needed."""
        pending = self._pending
        if not (pending.startswith(_LINE_PREFIX) or _LINE_PREFIX.startswith(pending)):
            return ""
        end = pending.find(b"\n")
        binary = _BINARY_BYTE.search(pending, 0, len(pending) if end < 0 else end)
        first = not self._lines
        if binary or (first and 0 <= end < _MIN_FIRST_LINE_BYTES):
            return ""
        length = len(pending) if end < 0 else end + 1
        if length > _MAX_LINE_BYTES or self._consumed_bytes + length > MAX_HEADER_BYTES:
            raise FormatError(
                f"the text header exceeds {MAX_HEADER_BYTES} bytes, or {_MAX_LINE_BYTES} bytes in one line"
            )
        if end < 0:
            return None
        line = pending[:end].decode("ascii")
        del pending[: end + 1]
        self._consumed_bytes += length
        return line

    def _finish_header(self) -> bytes:
        self.is_done = True
        rest = bytes(self._pending)
        self._pending.clear()
        if self._lines:
            self.header = _parse_lines(self._lines)
        return rest


def _parse_lines(lines: list[str]) -> Header:
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line[len(_LINE_PREFIX) :].strip().partition(" ")
        if key and key != "end":
            fields[key.lower()] = value.strip()
    name, *assignments = fields.get("format", "").split(";")
    parameters = dict(text.strip().lower().partition("=")[::2] for text in assignments)
    width, height = size_from_header(fields, parameters)
    return Header(
        fields=fields,
        format=_declared_format(name, fields),
        width=width,
        height=height,
        endianness=parameters.get("endianness", "little"),
    )


def _declared_format(name: str, fields: Mapping[str, str]) -> str | None:
    if not name and "evt" in fields:
        name = f"EVT{fields['evt']}"
    if name:
        declared = _FORMAT_BY_NAME.get(name.strip().lower())
        if declared is None:
            raise FormatError(f"unknown event format {name!r} in the header; expected EVT2, EVT2.1 or EVT3")
        return declared
    return None if _RAW_ONLY_KEYS & fields.keys() else "dat"
