"""The keys of a service: those of a file, read again when it changes, or of a setting."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from spikewatch.service.auth.keys import ApiKey, KeyLimits, parse_keys, read_key_file, require_keys
from spikewatch.service.errors import InvalidSettings
from spikewatch.service.settings import Settings

log = logging.getLogger("spikewatch.keys")

StatSignature = tuple[int, int, int] | None
"""By which a file that has changed is known; None: it is not there."""

CHECK_INTERVAL_S = 1.0
"""How often the file is looked at, at most."""


class KeyFile:
    """Keys that may change while the service runs: a bad file changes nothing, an empty one locks all out.

    Raises:
        InvalidSettings: the file is bad or empty from the beginning.
    """

    def __init__(self, path: Path, limits: KeyLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._limits = limits
        self._clock = clock
        self._loaded_signature = self._rejected_signature = self._stat_signature()
        self._last_check_s = clock()
        self._keys = require_keys(self._read_keys(), str(path))

    def __call__(self) -> list[ApiKey]:
        """The keys as they are now."""
        now_s = self._clock()
        if now_s - self._last_check_s >= CHECK_INTERVAL_S:
            self._last_check_s = now_s
            stamp = self._stat_signature()
            if stamp != self._loaded_signature:
                self._reload(stamp)
        return self._keys

    def _reload(self, stamp: StatSignature) -> None:
        """Read again; a file that cannot be is tried until it can, since what keeps it from it may pass."""
        try:
            self._keys = self._read_keys()
        except InvalidSettings as error:
            if stamp != self._rejected_signature:
                log.error("API keys stay as they were: %s", error)
            self._rejected_signature = stamp
        else:
            self._loaded_signature = self._rejected_signature = stamp
            log.info("API keys read again", extra={"keys": len(self._keys)})

    def _read_keys(self) -> list[ApiKey]:
        return parse_keys(read_key_file(self._path), str(self._path), self._limits)

    def _stat_signature(self) -> StatSignature:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def load_keys(settings: Settings) -> Callable[[], list[ApiKey]]:
    """What gives the keys; none at all if no setting names any.

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
