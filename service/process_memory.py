"""How much memory the process may use before the kernel ends it, and giving back what it does not need."""

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
"""Of glibc's malloc.h."""


def memory_limit_bytes(cgroup: Path = CGROUP, process_cgroup: Path = PROCESS_CGROUP) -> int:
    """The tightest limit of the process's control groups, or the machine's memory where that is less."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *_cgroup_limits(cgroup, process_cgroup)])


def _cgroup_limits(cgroup: Path, own: Path) -> Iterator[int]:
    """Limits of versions 2 and 1; a group without one says `max`, or has no such file."""
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
    """The process's group in the unified hierarchy, and all above it: each limits what is below."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    path = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), "")
    group = cgroup / path
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(cgroup)]


def limit_malloc_arenas() -> None:
    """Let all threads allocate from two heaps; glibc on Linux only, and only before there are threads.

    It would give each thread a heap of its own, and frames are made by one thread and freed by another: what
    is free in one heap is of no use to the others.
    """
    if (mallopt := _libc_function("mallopt")) is not None:
        mallopt(M_ARENA_MAX, MAX_ARENAS)


def trim_heap() -> None:
    """Collect garbage, and return pages that the C library holds free to the system: glibc on Linux only.

    It takes snapshots and frames, megabytes each, from the same heaps as everything else, and then keeps what
    lies between smaller things that are still used. Memory would grow for hours though nothing leaks.
    """
    if gc.get_freeze_count():  # see `freeze_gc`: else it would hold everything up
        gc.collect()
    if (trim := _libc_function("malloc_trim")) is not None:
        trim(0)


def freeze_gc() -> None:
    """Leave all objects that there are now out of every garbage collection to come.

    The libraries' 400,000 last as long as the process. To go through them takes a quarter of a second, in
    which nothing else runs; so Python does it the more rarely, and what is really garbage stays.
    """
    gc.collect()
    gc.freeze()


def _libc_function(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


async def trim_heap_periodically(interval_s: float) -> None:
    """Until cancelled; in a helper thread, since it takes milliseconds."""
    while True:
        await asyncio.sleep(interval_s)
        await asyncio.to_thread(trim_heap)
