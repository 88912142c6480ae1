"""Snapshots in files: one line, `spikewatch-snapshot sha256=<64 hex digits>`, then the snapshot."""

import hashlib

from spikewatch.service.errors import InvalidSnapshot

PREFIX = b"spikewatch-snapshot sha256="
HEADER_BYTES = len(PREFIX) + 64 + 1


def make_header(data: bytes) -> bytes:
    """Return the line that precedes a snapshot."""
    return PREFIX + hashlib.sha256(data).hexdigest().encode() + b"\n"


def remove_header(content: bytes, session_id: str) -> bytes:
    """Return the snapshot of a file. Raises InvalidSnapshot if it is corrupt."""
    head, data = content[:HEADER_BYTES], content[HEADER_BYTES:]
    if not head.startswith(PREFIX):
        raise InvalidSnapshot(
            f"the snapshot file of session {session_id} does not begin with its SHA-256 line"
        )
    if head != make_header(data):
        raise InvalidSnapshot(f"snapshot of session {session_id} is corrupt: SHA-256 checksum mismatch")
    return data
