"""The bound on the files of a cache, and which of them make room."""

from pathlib import Path
from time import time

from spikewatch.model.training.slice_cache.cache_file import SUFFIX

TEMPORARY = ".tmp"
"""Ending of files that are being written; one that a killed process left behind goes after a day."""

STALE_S = 24 * 3600.0


class CacheRoom:
    """Counts the bytes of a folder. As needed, files that are not wanted go, the longest unused first."""

    def __init__(self, folder: Path, limit_bytes: int, wanted: frozenset[Path]) -> None:
        self._limit_bytes = limit_bytes
        for path in folder.glob("*" + TEMPORARY):
            if path.stat().st_mtime < time() - STALE_S:
                path.unlink(missing_ok=True)
        stats = [(path, path.stat()) for path in folder.glob("*" + SUFFIX)]
        self._held_bytes = sum(stat.st_size for _, stat in stats)
        others = [(stat.st_mtime_ns, path, stat.st_size) for path, stat in stats if path not in wanted]
        self._others = sorted(others, reverse=True)

    def admits(self, size: int) -> bool:
        """Make room for a file of `size` bytes; False, and nothing is counted, where there is too little."""
        while self._others and self._held_bytes + size > self._limit_bytes:
            _, path, freed = self._others.pop()
            path.unlink(missing_ok=True)
            self._held_bytes -= freed
        if self._held_bytes + size > self._limit_bytes:
            return False
        self._held_bytes += size
        return True
