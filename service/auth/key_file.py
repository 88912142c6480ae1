"""The keys of a service, from a setting or from a file that is reloaded when it changes."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from spikewatch.service.auth.keys import ApiKey, KeyLimits, parse_keys, read_key_file, require_keys
from spikewatch.service.errors import InvalidSettings
from spikewatch.service.settings import Settings

log = logging.getLogger("spikewatch.keys")

StatSignature = tuple[int, int, int] | None
"""Inode, modification time and size, which differ once a file has changed; None: no file."""

CHECK_INTERVAL_S = 1.0
"""Shortest interval between two checks of the file."""


class KeyFile:
    """Keys of a file that may change: an invalid file changes nothing, an empty one rejects all clients.

    Raises:
        InvalidSettings: the file is invalid or empty at the start.
    """

    def __init__(self, path: Path, limits: KeyLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._limits = limits
        self._clock = clock
        self._loaded_signature = self._rejected_signature = self._stat_signature()
        self._last_check_s = clock()
        self._keys = require_keys(self._read_keys(), str(path))

    def __call__(self) -> list[ApiKey]:
        """Return the current keys."""
        now_s = self._clock()
        if now_s - self._last_check_s >= CHECK_INTERVAL_S:
            self._last_check_s = now_s
            signature = self._stat_signature()
            if signature != self._loaded_signature:
                self._reload(signature)
        return self._keys

    def _reload(self, signature: StatSignature) -> None:
        """Read the file again. A read that fails is retried at each check, because its cause may pass."""
        try:
            self._keys = self._read_keys()
        except InvalidSettings as error:
            if signature != self._rejected_signature:
                log.error("API keys not reloaded, the previous ones stay valid: %s", error)
            self._rejected_signature = signature
        else:
            self._loaded_signature = self._rejected_signature = signature
            log.info("API keys reloaded", extra={"keys": len(self._keys)})

    def _read_keys(self) -> list[ApiKey]:
        return parse_keys(read_key_file(self._path), str(self._path), self._limits)

    def _stat_signature(self) -> StatSignature:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def load_keys(settings: Settings) -> Callable[[], list[ApiKey]]:
    """Return a function that returns the current keys; it returns none if no setting names any.

    Raises:
        InvalidSettings: the keys cannot be read.
    """
    limits = KeyLimits(settings.key_max_sessions, settings.key_max_uploads, settings.key_max_bytes_per_s)
    if settings.api_keys_file is not None:
        return KeyFile(settings.api_keys_file, limits)
    keys: list[ApiKey] = []
    if settings.api_keys is not None:
        where = "SPIKEWATCH_API_KEYS"
        keys = require_keys(parse_keys(settings.api_keys.get_secret_value(), where, limits), where)
    return lambda: keys
