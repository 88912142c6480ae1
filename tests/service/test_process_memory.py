"""The memory limit, read from control groups as Linux lays them out; and what the C library holds."""

import subprocess
import sys
from pathlib import Path

import pytest

from spikewatch.service.process_memory import MAX_ARENAS, memory_limit_bytes

GIB = 1 << 30


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")
    return file


@pytest.fixture
def nothing(tmp_path: Path) -> int:
    """The machine's memory: no group limits it."""
    return memory_limit_bytes(tmp_path / "absent", tmp_path / "absent")


def test_machine_is_the_limit_without_cgroups(nothing: int) -> None:
    assert nothing > GIB // 4


def test_container_limit_is_read_from_cgroup_root(tmp_path: Path) -> None:
    own = written(tmp_path / "own", "0::/")
    written(tmp_path / "fs" / "memory.max", "123456789")
    assert memory_limit_bytes(tmp_path / "fs", own) == 123_456_789


def test_lowest_limit_of_nested_cgroups_applies(tmp_path: Path) -> None:
    own = written(tmp_path / "own", "0::/system.slice/spikewatch.service")
    written(tmp_path / "fs" / "system.slice" / "spikewatch.service" / "memory.max", "max")
    written(tmp_path / "fs" / "system.slice" / "memory.max", "100000000")
    written(tmp_path / "fs" / "other.slice" / "memory.max", "1000")
    assert memory_limit_bytes(tmp_path / "fs", own) == 100_000_000


def test_cgroup_version_1_limit_is_read(tmp_path: Path, nothing: int) -> None:
    own = written(tmp_path / "own", "4:memory:/docker/abc\n1:name=systemd:/")
    file = written(tmp_path / "fs" / "memory" / "memory.limit_in_bytes", "200000000")
    assert memory_limit_bytes(tmp_path / "fs", own) == 200_000_000
    written(file, "9223372036854771712")
    assert memory_limit_bytes(tmp_path / "fs", own) == nothing


SPARE = """
import gc, torch
from spikewatch.service.process_memory import freeze_gc

freeze_gc()
class Node:
    pass
node = Node()
node.itself = node
del node
print(len(gc.get_objects()), gc.get_freeze_count(), gc.collect())
"""


def test_frozen_objects_are_skipped_and_garbage_collected() -> None:
    command = [sys.executable, "-c", SPARE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    looked_at, spared, found = map(int, done.stdout.split())
    assert looked_at < 100
    assert spared > 50_000
    assert found >= 1


HOLES = """
import os
from spikewatch.service.process_memory import trim_heap

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

held = [b"x" * 100_000 for _ in range(2000)]
held = held[::2]
full = resident()
trim_heap()
print(full - resident())
"""


COUNT_HEAPS = """
import ctypes, threading
from spikewatch.service.process_memory import limit_malloc_arenas

if {shared}:
    limit_malloc_arenas()
together = threading.Barrier(8)

def work():
    held = bytearray(1000)
    together.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there")
@pytest.mark.parametrize("shared", [True, False])
def test_threads_share_malloc_arenas(shared: bool) -> None:
    """As the C library itself counts them."""
    command = [sys.executable, "-c", COUNT_HEAPS.format(shared=shared)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert (done.stdout.count("<heap nr=") <= MAX_ARENAS) is shared


@pytest.mark.skipif(sys.platform != "linux", reason="only there")
def test_trim_returns_free_memory_between_objects() -> None:
    """100 MB in holes of 100 kB."""
    command = [sys.executable, "-c", HOLES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert int(done.stdout) > 80_000_000
