"""Ownership of a folder: one process at a time, with a fencing epoch."""

import fcntl
import logging
import os
import re
import socket
import weakref
from pathlib import Path

from spikewatch.service.errors import InvalidSettings, SnapshotStoreError

log = logging.getLogger("spikewatch.snapshots")

OWNER_FILE = "owner"


class FolderLock:
    """The right to write to a folder, held until `release` or the end of the process.

    The kernel's lock keeps a second process out. The epoch, which rises with every owner, stops writes of a
    process that lost the lock unnoticed, as on network file systems that do not share locks between machines.

    Raises:
        InvalidSettings: another process holds the lock.
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / OWNER_FILE
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.release = weakref.finalize(self, os.close, handle)
        """Lets another process own the folder."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise InvalidSettings(
                f"snapshot folder {folder} belongs to another running service ({self._read_owner()}); "
                "stop it, or give each service a folder of its own (SPIKEWATCH_SNAPSHOT_DIR)"
            ) from None
        self.epoch = _epoch_of(self._read_owner()) + 1
        line = f"epoch={self.epoch} pid={os.getpid()} host={socket.gethostname()}\n"
        os.truncate(handle, 0)
        os.pwrite(handle, line.encode(), 0)
        os.fsync(handle)

    def check(self) -> None:
        """Raise SnapshotStoreError if this process is not the newest owner any more."""
        owner = self._read_owner()
        if not self.release.alive or _epoch_of(owner) != self.epoch:
            log.error("the snapshot folder has another owner", extra={"owner": owner, "epoch": self.epoch})
            raise SnapshotStoreError(
                f"the snapshot store of epoch {self.epoch} belongs to another service now; see the server log"
            )

    def _read_owner(self) -> str:
        """Return the line of the newest owner, empty without any. Read by name, as other machines see it."""
        try:
            return self._path.read_text().strip()
        except FileNotFoundError:
            return ""


def _epoch_of(owner: str) -> int:
    found = re.match(r"epoch=(\d{1,18}) ", owner)
    return int(found[1]) if found else 0
