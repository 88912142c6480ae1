"""Where snapshots are kept: a port, and a directory behind it.

A file is one line, `spikewatch-snapshot sha256=<64 hex digits>`, then the snapshot. It appears whole or
not at all: a temporary file is written, synced and renamed, and the directory synced after it.
"""

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from service.errors import BadSnapshot, TooLarge
from service.limits import KNOWN_ID
from service.settings import Settings

_HEAD = b"spikewatch-snapshot sha256="
_HEAD_BYTES = len(_HEAD) + 64 + 1


def make_store(settings: Settings) -> "SnapshotStore | None":
    """The store that the settings ask for, if any; OSError if its directory cannot be used."""
    if settings.snapshot_dir is None:
        return None
    return DirectoryStore(settings.snapshot_dir, settings.snapshot_max_count, settings.snapshot_max_bytes)


class SnapshotStore(Protocol):
    """Keeps the latest snapshot of each session. Any thread may call; only `holds` is quick.

    Attributes:
        on_evict: called when a snapshot goes to make room for another.
    """

    on_evict: Callable[[], None]

    def put(self, session_id: str, data: bytes) -> None:
        """Keep a snapshot instead of an earlier one; TooLarge or OSError, and the earlier one stays."""

    def get(self, session_id: str) -> bytes | None:
        """The snapshot, None if there is none; BadSnapshot if it is damaged."""

    def delete(self, session_id: str) -> None:
        """Forget a snapshot, if there is one."""

    def holds(self, session_id: str) -> bool:
        """True if there is a snapshot of this session."""


class DirectoryStore:
    """Snapshots as files of one directory, bounded in number and bytes: the one written longest ago goes."""

    def __init__(self, folder: Path, max_count: int, max_bytes: int) -> None:
        """Make the directory if need be, and remove what a killed process left half written.

        Raises:
            OSError: it cannot be made or written to.
        """
        self._folder = folder
        self._max_count, self._max_bytes = max_count, max_bytes
        self.on_evict: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.part"):
            left.unlink(missing_ok=True)

    def put(self, session_id: str, data: bytes) -> None:
        """See `SnapshotStore.put`."""
        if re.fullmatch(KNOWN_ID, session_id) is None:
            raise ValueError(f"{session_id!r} is no id of a session")
        size = _HEAD_BYTES + len(data)
        if size > self._max_bytes:
            raise TooLarge(f"a snapshot of {size} bytes; all together may have {self._max_bytes}")
        path = self._path(session_id)
        part = path.with_suffix(f".{threading.get_ident()}.part")
        digest = hashlib.sha256(data).hexdigest().encode()
        try:
            with part.open("wb") as file:
                file.write(_HEAD + digest + b"\n")
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            with self._lock:
                self._make_room(path, size)
                part.replace(path)
                self._sync_folder()
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def get(self, session_id: str) -> bytes | None:
        """See `SnapshotStore.get`."""
        if re.fullmatch(KNOWN_ID, session_id) is None:
            return None
        try:
            content = self._path(session_id).read_bytes()
        except FileNotFoundError:
            return None
        head, data = content[:_HEAD_BYTES], content[_HEAD_BYTES:]
        if not head.startswith(_HEAD):
            raise BadSnapshot(f"the file of session {session_id} is no snapshot")
        if head[len(_HEAD) : -1] != hashlib.sha256(data).hexdigest().encode():
            raise BadSnapshot(f"the snapshot of session {session_id} is damaged: its checksum is another")
        return data

    def delete(self, session_id: str) -> None:
        """See `SnapshotStore.delete`."""
        if self.holds(session_id):
            with self._lock:
                self._path(session_id).unlink(missing_ok=True)

    def holds(self, session_id: str) -> bool:
        """See `SnapshotStore.holds`."""
        return re.fullmatch(KNOWN_ID, session_id) is not None and self._path(session_id).is_file()

    def _path(self, session_id: str) -> Path:
        return self._folder / f"{session_id}.snapshot"

    def _make_room(self, path: Path, size: int) -> None:
        """Remove the oldest others until one more of `size` bytes fits."""
        others = []
        for other in self._folder.glob("*.snapshot"):
            with contextlib.suppress(FileNotFoundError):
                stat = other.stat()
                others.append((stat.st_mtime_ns, stat.st_size, other))
        others = sorted(entry for entry in others if entry[2] != path)
        total = size + sum(entry[1] for entry in others)
        for i, (_, bytes_, other) in enumerate(others):
            if len(others) - i < self._max_count and total <= self._max_bytes:
                return
            other.unlink(missing_ok=True)
            total -= bytes_
            self.on_evict()

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
