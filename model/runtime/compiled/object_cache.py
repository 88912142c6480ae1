"""Cache of compiled objects in a folder that only its owner can use.

Objects are code: a user that can write them can run anything as this user. The folder must belong to this
user, be a real folder, and have no permissions for others. The same holds for every file. The folder is
opened once and files are opened relative to it, so that no path can be exchanged between check and use. A
file that fails a check is not used; the code is compiled again.

    file = MAGIC, SHA-256 of the identity, SHA-256 of the code, code

Bounds: at most MAX_FILES files and MAX_BYTES bytes; the least recently used go first.
"""

import contextlib
import hashlib
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("spikewatch.runtime")

MAGIC = b"spikewatch kernel 1\n"
MAX_FILES = 64
MAX_BYTES = 256 << 20
SUFFIX = ".o"

_HEADER = len(MAGIC) + 2 * hashlib.sha256().digest_size


class UnsafeCacheError(Exception):
    """The folder or a file could have been written by another user."""


class ObjectCache:
    """Compiled objects by identity. With no folder, everything is compiled anew."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get_or_create(self, identity: str, create: Callable[[], bytes]) -> bytes:
        """Return the code of an identity, compiled by `create` if the cache does not hold it."""
        key = hashlib.sha256(identity.encode()).digest()
        code = self._read(key)
        if code is None:
            code = create()
            self._write(key, code)
        return code

    def _read(self, key: bytes) -> bytes | None:
        name = key.hex() + SUFFIX
        try:
            with self._opened() as folder:
                data = _read_private(name, folder)
                code = _unwrap(data, key)
                os.utime(name, dir_fd=folder)
                return code
        except FileNotFoundError:
            return None
        except (OSError, UnsafeCacheError) as error:
            log.warning("a cached kernel is not used", extra={"file": name, "reason": str(error)})
            return None

    def _write(self, key: bytes, code: bytes) -> None:
        """Write atomically. A cache that cannot be written is no error."""
        name = key.hex() + SUFFIX
        part = f"{name}.{secrets.token_hex(8)}"
        data = MAGIC + key + hashlib.sha256(code).digest() + code
        try:
            with self._opened(create=True) as folder:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                try:
                    with os.fdopen(os.open(part, flags, 0o600, dir_fd=folder), "wb") as file:
                        file.write(data)
                    os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(part, dir_fd=folder)
                _evict(folder)
        except FileNotFoundError:
            return
        except (OSError, UnsafeCacheError) as error:
            log.warning("kernels are not cached", extra={"folder": str(self._folder), "reason": str(error)})

    @contextmanager
    def _opened(self, create: bool = False) -> Iterator[int]:
        """Yield a descriptor of the folder.

        Raises:
            FileNotFoundError: there is no folder.
            UnsafeCacheError: others can use it.
        """
        if self._folder is None:
            raise FileNotFoundError
        if create:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self._folder.mkdir(0o700)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _check_private(os.fstat(folder), f"folder {self._folder}")
            yield folder
        finally:
            os.close(folder)


def _check_private(status: os.stat_result, name: str) -> None:
    if status.st_uid != os.geteuid():
        raise UnsafeCacheError(f"{name} belongs to user {status.st_uid}, expected {os.geteuid()}")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise UnsafeCacheError(
            f"{name} has mode {mode:04o}, expected no permissions for others; chmod go= it"
        )


def _read_private(name: str, folder: int) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeCacheError(f"{name} is not a regular file")
        _check_private(status, name)
        return file.read()


def _unwrap(data: bytes, key: bytes) -> bytes:
    """Return the code of a file, once its identity and digest are checked."""
    digest, code = data[len(MAGIC) + len(key) : _HEADER], data[_HEADER:]
    if not data.startswith(MAGIC + key):
        raise UnsafeCacheError(f"object {data[:52].hex()}: expected {(MAGIC + key).hex()}")
    if hashlib.sha256(code).digest() != digest:
        raise UnsafeCacheError(f"damaged: {len(code)} bytes with another digest than {digest.hex()}")
    return code


def _evict(folder: int) -> None:
    """Delete the least recently used files beyond the bounds."""
    files = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            files.append((status.st_mtime, name, status.st_size))
    total = 0
    for number, (_, name, size) in enumerate(sorted(files, reverse=True)):
        total += size
        if number >= MAX_FILES or total > MAX_BYTES:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(name, dir_fd=folder)
