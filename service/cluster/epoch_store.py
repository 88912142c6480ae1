"""Snapshots in a folder that all workers share, fenced by the epochs of leases instead of a lock.

    SESSION/<epoch>.claim       the request of the session; written before the first byte under this lease
    SESSION/<epoch>.snapshot    as in `DirectoryStore`
    .terms/<number>             one for each life of the directory

Readers take the highest epoch. A worker that finds a claim above its own epoch may not write. A write that
slips in between lands under its lower epoch, where no reader looks, so no lock is needed.
"""

import os
import re
import shutil
import threading
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path

from spikewatch.atomic_file import temporary_file
from spikewatch.service.errors import SnapshotStoreError
from spikewatch.service.limits import QUALIFIED_ID_PATTERN
from spikewatch.service.snapshots.checksum import HEADER_BYTES, make_header, remove_header

TERMS = ".terms"
CLAIM, SNAPSHOT = ".claim", ".snapshot"


def new_term(folder: Path) -> int:
    """Return a number that was never returned before for this folder. Raises OSError on failure."""
    terms = folder / TERMS
    terms.mkdir(parents=True, exist_ok=True)
    number = max((int(path.name) for path in terms.iterdir()), default=0) + 1
    while True:
        try:
            (terms / f"{number:06d}").touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return number


def find_orphans(folder: Path, known: Container[str]) -> dict[str, str]:
    """Return sessions with a claim that are not in `known`: id -> request of the newest claim."""
    found = {}
    for path in folder.iterdir():
        if path.name not in known and re.fullmatch(QUALIFIED_ID_PATTERN, path.name):
            with suppress(FileNotFoundError):
                if epochs := _epochs(path, CLAIM):
                    found[path.name] = _file(path, epochs[0], CLAIM).read_text()
    return found


class EpochStore:
    """Snapshots of one worker in the shared folder; see `SnapshotStore`.

    Bounded in number and bytes over all workers. Evicts the oldest snapshots of sessions that are not open.

    Args:
        folder: shared by all workers.
        max_count: snapshots in the folder.
        max_bytes: all of them together.

    Attributes:
        on_fenced: called for each write rejected, because another worker has the session.
    """

    def __init__(self, folder: Path, max_count: int, max_bytes: int) -> None:
        self._folder, self._max_count, self._max_bytes = folder, max_count, max_bytes
        self._epoch_of: Callable[[str], int | None] = lambda _id: None
        self._lock = threading.Lock()
        self.on_fenced: Callable[[], object] = lambda: None
        folder.mkdir(parents=True, exist_ok=True)

    def use_epochs(self, epoch_of: Callable[[str], int | None]) -> None:
        """Set the function that returns the epoch of this worker's lease on a session, None without one."""
        self._epoch_of = epoch_of

    def claim(self, session_id: str, epoch: int, request: str) -> None:
        """Own a session from now on. Its newest snapshot counts as written under this epoch.

        Raises:
            SnapshotStoreError: a later claim exists.
            OSError: the folder cannot be written to.
        """
        path = self._path(session_id)
        path.mkdir(exist_ok=True)
        if any(other > epoch for other in _epochs(path, CLAIM)):
            raise self._fenced_error(session_id, epoch)
        _write(_file(path, epoch, CLAIM), request.encode())
        older = [other for other in _epochs(path, SNAPSHOT) if other < epoch]
        if older:
            with suppress(FileExistsError, FileNotFoundError):
                os.link(_file(path, older[0], SNAPSHOT), _file(path, epoch, SNAPSHOT))

    def disclaim(self, session_id: str, epoch: int) -> None:
        """Note that a session has ended, so that no worker adopts it. Its snapshot stays."""
        path = self._path(session_id)
        with suppress(FileNotFoundError):
            for other in _epochs(path, CLAIM):
                if other <= epoch:
                    _file(path, other, CLAIM).unlink(missing_ok=True)
        with suppress(OSError):
            path.rmdir()  # only if nothing is left in it

    def put(self, session_id: str, data: bytes, protected: Container[str] = ()) -> list[str]:
        """See `SnapshotStore.put`. Raises SnapshotStoreError too if another worker has the session."""
        path, epoch = self._path(session_id), self._check_epoch(session_id)
        with self._lock:
            evicted = self._evict(session_id, HEADER_BYTES + len(data), protected)
        _write(_file(path, epoch, SNAPSHOT), make_header(data), data)
        for kind in (SNAPSHOT, CLAIM):
            for older in _epochs(path, kind):
                if older < epoch:
                    _file(path, older, kind).unlink(missing_ok=True)
        return evicted

    def get(self, session_id: str) -> bytes | None:
        """See `SnapshotStore.get`."""
        if not self.exists(session_id):
            return None
        path = self._path(session_id)
        return remove_header(_file(path, _epochs(path, SNAPSHOT)[0], SNAPSHOT).read_bytes(), session_id)

    def delete(self, session_id: str) -> None:
        """See `SnapshotStore.delete`. A worker without the lease deletes sessions that no worker has."""
        path = self._path(session_id)
        if not path.is_dir():
            return
        epoch, claims = self._epoch_of(session_id), _epochs(path, CLAIM)
        if claims and (epoch is None or claims[0] > epoch):
            raise self._fenced_error(session_id, epoch)
        shutil.rmtree(path, ignore_errors=True)

    def exists(self, session_id: str) -> bool:
        """See `SnapshotStore.exists`."""
        if re.fullmatch(QUALIFIED_ID_PATTERN, session_id) is None:
            return False
        try:
            return bool(_epochs(self._path(session_id), SNAPSHOT))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """See `SnapshotStore.close`. Leases end by themselves."""

    def _path(self, session_id: str) -> Path:
        if re.fullmatch(QUALIFIED_ID_PATTERN, session_id) is None:
            raise ValueError(f"invalid session id {session_id!r}; expected {QUALIFIED_ID_PATTERN}")
        return self._folder / session_id

    def _check_epoch(self, session_id: str) -> int:
        """Return the epoch of this worker's lease. Raises SnapshotStoreError if it is not the newest."""
        epoch, path = self._epoch_of(session_id), self._path(session_id)
        if epoch is None or not path.is_dir() or any(other > epoch for other in _epochs(path, CLAIM)):
            raise self._fenced_error(session_id, epoch)
        return epoch

    def _fenced_error(self, session_id: str, epoch: int | None) -> SnapshotStoreError:
        self.on_fenced()
        return SnapshotStoreError(
            f"session {session_id} belongs to another worker; the lease here is {epoch}"
        )

    def _evict(self, session_id: str, size: int, protected: Container[str]) -> list[str]:
        """Delete the oldest snapshots of sessions that no worker has, until there is room for one more."""
        others = sorted(entry for entry in self._snapshots() if entry[2] != session_id)
        count, total = 1 + len(others), size + sum(entry[1] for entry in others)
        evicted: list[str] = []
        for _, bytes_, other in others:
            if count <= self._max_count and total <= self._max_bytes:
                return evicted
            if other not in protected and not _epochs(self._path(other), CLAIM):
                shutil.rmtree(self._path(other), ignore_errors=True)
                evicted.append(other)
                count, total = count - 1, total - bytes_
        if count > self._max_count or total > self._max_bytes:
            raise SnapshotStoreError(
                f"no room for {size} bytes beside the snapshots of open sessions; the store holds at most "
                f"{self._max_count} snapshots and {self._max_bytes} bytes"
            )
        return evicted

    def _snapshots(self) -> list[tuple[int, int, str]]:
        """Return time, size and session of the newest snapshot of every session."""
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError, NotADirectoryError):
                if path.name != TERMS and (epochs := _epochs(path, SNAPSHOT)):
                    stat = _file(path, epochs[0], SNAPSHOT).stat()
                    found.append((stat.st_mtime_ns, stat.st_size, path.name))
        return found


def _epochs(path: Path, kind: str) -> list[int]:
    """Return the epochs of the files of a kind, the highest first."""
    names = (name.removesuffix(kind) for name in os.listdir(path) if name.endswith(kind))
    return sorted((int(name, 16) for name in names if not name.startswith(".")), reverse=True)


def _file(path: Path, epoch: int, kind: str) -> Path:
    return path / f"{epoch:016x}{kind}"


def _write(path: Path, *parts: bytes) -> None:
    """Write a file that appears whole or not at all, and survives a power failure."""
    with temporary_file(path.with_suffix("")) as partial:
        with partial.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
