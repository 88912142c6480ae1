"""Memory limit of the process, and return of free memory to the operating system."""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CGROUP = Path("/sys/fs/cgroup")
PROCESS_CGROUP = Path("/proc/self/cgroup")
MAX_ARENAS = 2
M_ARENA_MAX = -8
"""From malloc.h of glibc."""


def memory_limit_bytes(cgroup: Path = CGROUP, process_cgroup: Path = PROCESS_CGROUP) -> int:
    """Return the lowest limit of the process's control groups, or the physical memory if that is lower."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *_cgroup_limits(cgroup, process_cgroup)])


def _cgroup_limits(cgroup: Path, own: Path) -> Iterator[int]:
    """Yield limits of cgroup versions 2 and 1. Groups without a limit have `max` or no such file."""
    files = [cgroup / "memory" / "memory.limit_in_bytes"]
    files += [folder / "memory.max" for folder in _cgroup_folders(cgroup, own)]
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            yield int(text)


def _cgroup_folders(cgroup: Path, own: Path) -> list[Path]:
    """Return the process's group in the unified hierarchy and its parents, whose limits apply as well."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    path = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), "")
    group = cgroup / path
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(cgroup)]


def limit_malloc_arenas() -> None:
    """Limit glibc to two heaps for all threads (Linux only). Call it before any thread starts.

    By default glibc gives each thread a heap of its own. Frames are allocated by one thread and freed by
    another, and memory that is free in one heap cannot be used by other threads.
    """
    if (mallopt := _libc_function("mallopt")) is not None:
        mallopt(M_ARENA_MAX, MAX_ARENAS)


def trim_heap() -> None:
    """Collect garbage, and return free pages of the C library to the system (glibc on Linux only).

    glibc allocates snapshots and frames, megabytes each, from the same heaps as small objects, and keeps free
    memory between objects in use. Without trimming, memory would grow for hours though nothing leaks.
    """
    if (
        gc.get_freeze_count()
    ):  # a collection of objects that are not frozen would stop all threads, see `freeze_gc`
        gc.collect()
    if (trim := _libc_function("malloc_trim")) is not None:
        trim(0)


def freeze_gc() -> None:
    """Freeze all current objects (`gc.freeze`), so that later collections skip them.

    Libraries hold 400,000 objects for the life of the process. A collection of them stops every thread for
    0.25 s. So Python would collect less often, and real garbage would stay longer.
    """
    gc.collect()
    gc.freeze()


def _libc_function(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


async def trim_heap_periodically(interval_s: float) -> None:
    """Trim the heap every `interval_s` until cancelled, in a helper thread since it takes milliseconds."""
    while True:
        await asyncio.sleep(interval_s)
        await asyncio.to_thread(trim_heap)
