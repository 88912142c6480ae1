"""Parser of the text header of DAT and RAW files: lines `% key value`, at most 64 KiB, before the events.

Source: docs.prophesee.ai, "RAW File Format" and "DAT File Format": ASCII lines that begin with "% " and end
with a line feed. The header ends at the optional line `% end`, or where a line does not begin with "%".
Recorders also write dates and notes in other encodings, and `%end`; such lines are text as well.
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
_LINE_PREFIX = b"%"
_FIRST_BYTES = re.compile(rb"%[\t\x20-\x7e]*")
_CONTROL_BYTE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Bytes that text has in no encoding with ASCII as its lower half."""
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
        endianness: "little", unless the header declares another ("legacy", "big").
    """

    fields: Mapping[str, str]
    format: str | None
    width: int | None
    height: int | None
    endianness: str


class HeaderParser:
    """Incremental parser that separates a stream's text header from its event data, fed in any chunks.

    The header is optional. A stream has one if its first eight bytes are printable and begin with "%". A
    headerless DAT or EVT2 stream never does: the top byte of a record is a control character for every y
    below 4096. A headerless EVT3 stream would have to begin with four words of printable bytes, none of them
    a time word.

    After the first line, a line that begins with "%" and ends with a line feed is text. A line with control
    bytes is rejected, because text decoded as events would be invented events. Only if its second byte is not
    ASCII, as in a time word, is it data.

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
            FormatError: a line or the header is too long or not text, or the declared event format is not
                supported.
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
            if _strip_line(line).lower() == "end":
                return self._finish_header()
        raise RuntimeError("the header is complete; feed no more bytes to its parser")  # no value

    def finish(self) -> bytes:
        """End the stream; return the pending bytes, which are data.

        Raises:
            TruncatedError: the stream ends within a header line.
        """
        begun = self._lines or self._pending.startswith(b"% ") or len(self._pending) >= _MIN_FIRST_LINE_BYTES
        if begun and self._pending.startswith(_LINE_PREFIX):
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
        self._consumed_bytes = sum(len(line.encode()) + 1 for line in self._lines)
        self.header = _parse_lines(self._lines) if self.is_done and self._lines else None

    def _next_line(self) -> str | None:
        """Return the next header line, "" if the data begin here, or None if more bytes are needed."""
        pending = self._pending
        if pending and not pending.startswith(_LINE_PREFIX):
            return ""
        end = pending.find(b"\n")
        if pending and not self._lines and not _FIRST_BYTES.fullmatch(pending[:_MIN_FIRST_LINE_BYTES]):
            return ""
        if len(pending) < (2 if self._lines else _MIN_FIRST_LINE_BYTES):
            return None
        if _CONTROL_BYTE.search(pending, 0, len(pending) if end < 0 else end):
            if self._lines and not _FIRST_BYTES.fullmatch(pending[:2]):
                return ""
            raise FormatError(
                f"the text header has a line that is not text: {bytes(pending[:40])!r}; "
                "if the events begin there, add the line `% end` before them"
            )
        length = len(pending) if end < 0 else end + 1
        if length > _MAX_LINE_BYTES or self._consumed_bytes + length > MAX_HEADER_BYTES:
            raise FormatError(
                f"the text header exceeds {MAX_HEADER_BYTES} bytes, or {_MAX_LINE_BYTES} bytes in one line"
            )
        if end < 0:
            return None
        line = _decode_text(pending[:end])
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


def _decode_text(line: bytes | bytearray) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _strip_line(line: str) -> str:
    return line.lstrip("%").strip()


def _parse_lines(lines: list[str]) -> Header:
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = _strip_line(line).partition(" ")
        if key and key.lower() != "end":
            fields[key.lower()] = value.strip()
    name, *assignments = fields.get("format", "").split(";")
    parameters = dict(text.strip().lower().partition("=")[::2] for text in assignments)
    width, height = size_from_header(fields, parameters)
    return Header(
        fields=fields,
        format=_declared_format(name, fields),
        width=width,
        height=height,
        endianness=parameters.get("endianness", fields.get("endianness", "little").lower()),
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
