"""Packet scan of an AEDAT4 file: counts its packets and detects truncation, reading only their lengths.

Run it in the worker only, whose processor time and patience are limited: a file can hold many small packets.

Layout: a magic line of 14 bytes; u32 length and as many bytes of IOHeader, a FlatBuffer whose second field is
the i64 position of the data table that ends the packets, below 0 where it was never written; then packets of
i32 stream, i32 length and as many bytes.

Source: iniVation, "AEDAT 4.0 file format", docs.inivation.com; FlatBuffers internals, flatbuffers.dev.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from spikewatch.ingest.errors import FormatError, TruncatedError

_MAGIC = b"#!AER-DAT4.0\r\n"
_MAX_IO_HEADER_BYTES = 1 << 24
_DATA_TABLE_FIELD = 1
_MIN_PACKET_BYTES = 8
"""Fewer bytes hold no FlatBuffer: its root offset and an empty table."""


@dataclass(frozen=True, slots=True)
class PacketScan:
    """The number of complete packets, and whether the file ends within one more."""

    complete_packets: int
    truncated: bool


def scan_packets(path: Path) -> PacketScan:
    """Count the packets of a file, reading only their lengths.

    Raises:
        FormatError: not an AEDAT4 file, or its header or a packet length is damaged.
        TruncatedError: the file ends within its header.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise FormatError(f"{path} is not an AEDAT4 file; it does not begin with {_MAGIC!r}")
        end = _data_table_position(_read_io_header(file, path))
        if not 0 <= end <= size:
            end = size
        packets, position = 0, file.tell()
        while position < end:
            head = os.pread(file.fileno(), 8, position)
            if len(head) < 8:
                return PacketScan(packets, truncated=True)
            length = struct.unpack("<ii", head)[1]
            if length < _MIN_PACKET_BYTES:
                raise FormatError(
                    f"{path}: packet {packets} at byte {position} has length {length}, expected at least "
                    f"{_MIN_PACKET_BYTES}; it is damaged"
                )
            position += 8 + length
            if position > size:
                return PacketScan(packets, truncated=True)
            packets += 1
    return PacketScan(packets, truncated=False)


def _read_io_header(file: BinaryIO, path: Path) -> bytes:
    prefix = file.read(4)
    length = int.from_bytes(prefix, "little")
    if length > _MAX_IO_HEADER_BYTES:
        raise FormatError(
            f"{path} declares a header of {length} bytes, more than {_MAX_IO_HEADER_BYTES}; it is damaged"
        )
    header = file.read(length)
    if len(prefix) < 4 or len(header) < length:
        raise TruncatedError(f"{path} ends within its AEDAT4 header")
    return header


def _data_table_position(header: bytes) -> int:
    """Return field 1 of the root table of the FlatBuffer `header`, or -1 if absent or out of bounds."""
    try:
        (table,) = struct.unpack_from("<I", header)
        (back,) = struct.unpack_from("<i", header, table)
        entry = table - back + 4 + 2 * _DATA_TABLE_FIELD
        (field,) = struct.unpack_from("<H", header, entry) if entry >= 0 else (0,)
        position: int = struct.unpack_from("<q", header, table + field)[0] if field else -1
    except struct.error:
        return -1
    return position
