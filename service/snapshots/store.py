"""Stores of snapshots: the interface, and a directory.

A file appears whole or not at all: a temporary file is written, synced and renamed, and the directory synced
after it.
"""

import contextlib
import os
import re
import threading
from collections.abc import Container
from pathlib import Path
from typing import Protocol

from spikewatch.atomic_file import temporary_file
from spikewatch.service.errors import InvalidSettings, SnapshotStoreError
from spikewatch.service.limits import QUALIFIED_ID_PATTERN
from spikewatch.service.settings import Settings
from spikewatch.service.snapshots.checksum import HEADER_BYTES, make_header, remove_header
from spikewatch.service.snapshots.folder_lock import FolderLock


def make_store(settings: Settings, state_bytes: int) -> "SnapshotStore | None":
    """Return the store of the settings, or None without `snapshot_dir`.

    Args:
        settings: settings of the service.
        state_bytes: size of the membranes of one session, the minimum size of a snapshot.

    Raises:
        OSError: the directory cannot be used.
        InvalidSettings: the store is too small for `max_sessions` snapshots, or another service uses it.
    """
    if settings.snapshot_dir is None:
        return None
    sessions, count, size = settings.max_sessions, settings.snapshot_max_count, settings.snapshot_max_bytes
    if count < sessions:
        raise InvalidSettings(
            f"snapshot_max_count is {count}, fewer than max_sessions, {sessions}: "
            "open sessions could not all be saved"
        )
    if size < sessions * state_bytes:
        raise InvalidSettings(
            f"snapshot_max_bytes is {size}: as many sessions as max_sessions, {sessions}, "
            f"of at least {state_bytes} bytes each, could not all be saved"
        )
    return DirectoryStore(settings.snapshot_dir, settings.snapshot_max_count, settings.snapshot_max_bytes)


class SnapshotStore(Protocol):
    """Keeps the latest snapshot of each session. Thread-safe; only `exists` may run on the event loop."""

    def put(self, session_id: str, data: bytes, protected: Container[str] = ()) -> list[str]:
        """Replace the snapshot of a session; return the ids of snapshots evicted for it.

        Snapshots in `protected` are never evicted. Raises SnapshotStoreError or OSError if there is no room;
        the previous snapshot stays.
        """

    def get(self, session_id: str) -> bytes | None:
        """Return the snapshot of a session, or None. Raises InvalidSnapshot if it is corrupt."""

    def delete(self, session_id: str) -> None:
        """Delete the snapshot of a session, if there is one."""

    def exists(self, session_id: str) -> bool:
        """Return whether there is a snapshot of this session."""

    def close(self) -> None:
        """Release the store, so that another process can use it; later writes fail."""


class DirectoryStore:
    """Snapshots as files of one directory, bounded in number and bytes. Evicts the oldest file first."""

    def __init__(self, folder: Path, max_count: int, max_bytes: int) -> None:
        """Create the directory if needed, own it, and remove partial files of a killed process.

        Raises:
            OSError: the directory cannot be created or written to.
            InvalidSettings: another running service uses the directory.
        """
        self._folder = folder
        self._max_count, self._max_bytes = max_count, max_bytes
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._owner = FolderLock(folder)
        for left in folder.glob("*.part"):
            left.unlink(missing_ok=True)

    def put(self, session_id: str, data: bytes, protected: Container[str] = ()) -> list[str]:
        """See `SnapshotStore.put`."""
        if re.fullmatch(QUALIFIED_ID_PATTERN, session_id) is None:
            raise ValueError(f"invalid session id {session_id!r}; expected {QUALIFIED_ID_PATTERN}")
        path = self._path(session_id)
        # without the suffix, so that `*.snapshot` finds complete files only
        with temporary_file(path.with_suffix("")) as partial:
            with partial.open("wb") as file:
                file.write(make_header(data))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            with self._lock:
                self._owner.check()
                evicted = self._select_evictions(path, HEADER_BYTES + len(data), protected)
                for other in evicted:
                    other.unlink(missing_ok=True)
                partial.replace(path)
                self._sync_folder()
        return [other.stem for other in evicted]

    def get(self, session_id: str) -> bytes | None:
        """See `SnapshotStore.get`."""
        if re.fullmatch(QUALIFIED_ID_PATTERN, session_id) is None:
            return None
        try:
            content = self._path(session_id).read_bytes()
        except FileNotFoundError:
            return None
        return remove_header(content, session_id)

    def delete(self, session_id: str) -> None:
        """See `SnapshotStore.delete`."""
        if self.exists(session_id):
            with self._lock:
                self._owner.check()
                self._path(session_id).unlink(missing_ok=True)

    def exists(self, session_id: str) -> bool:
        """See `SnapshotStore.exists`."""
        return re.fullmatch(QUALIFIED_ID_PATTERN, session_id) is not None and self._path(session_id).is_file()

    def close(self) -> None:
        """See `SnapshotStore.close`."""
        with self._lock:
            self._owner.release()

    def _path(self, session_id: str) -> Path:
        return self._folder / f"{session_id}.snapshot"

    def _select_evictions(self, path: Path, size: int, protected: Container[str]) -> list[Path]:
        """Return the oldest other snapshots that must be deleted for one more of `size` bytes."""
        others = []
        for other in self._folder.glob("*.snapshot"):
            with contextlib.suppress(FileNotFoundError):
                stat = other.stat()
                others.append((stat.st_mtime_ns, stat.st_size, other))
        others = sorted(entry for entry in others if entry[2] != path)
        count, total = 1 + len(others), size + sum(entry[1] for entry in others)
        evicted = []
        for _, bytes_, other in others:
            if count <= self._max_count and total <= self._max_bytes:
                break
            if other.stem not in protected:
                evicted.append(other)
                count, total = count - 1, total - bytes_
        if count > self._max_count or total > self._max_bytes:
            raise SnapshotStoreError(
                f"no room for {size} bytes beside the snapshots of open sessions; the store holds at most "
                f"{self._max_count} snapshots and {self._max_bytes} bytes"
            )
        return evicted

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
