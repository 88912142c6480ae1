"""Executor: runs a table on a batch, with the threads of this process.

A single sample is shared by all threads, row by row. From two samples on, each runs whole on one thread, in
that thread's arena: then there is nothing to wait for between operations, and activations stay in its caches.
"""

import atexit
import ctypes
import platform
import threading
import time
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikewatch.model.runtime.compiled.abi import (
    CONTROL_FIELDS,
    COUNTER_FIELDS,
    OP_FIELDS,
    ControlField,
    OpField,
    SampleField,
)
from spikewatch.model.runtime.compiled.buffers import Buffer
from spikewatch.model.runtime.compiled.driver import build_driver, futex_number
from spikewatch.model.runtime.compiled.instruction_sets import InstructionSet
from spikewatch.model.runtime.compiled.object_cache import ObjectCache
from spikewatch.model.runtime.compiled.object_code import LoadedCode, load_code
from spikewatch.model.runtime.compiled.threads import HelperPool, RestPolicy

PAGE = 4096

Words = npt.NDArray[np.int64]


@cache
def package_source() -> str:
    """Return the source of this package, part of the identity of all its objects."""
    folder = Path(__file__).parent
    return "\n".join(path.read_text() for path in sorted(folder.rglob("*.py")))


_drivers: dict[InstructionSet, LoadedCode] = {}


def load_driver(target: InstructionSet, cache: ObjectCache) -> LoadedCode:
    """Return the code that runs tables; loaded once in a process, and never freed."""
    if target not in _drivers:
        futex = futex_number(platform.system(), platform.machine())
        source = repr(("driver", futex, package_source()))
        _drivers[target] = load_code(
            lambda module: build_driver(module, target, futex), source, target, cache
        )
    return _drivers[target]


class _ProcessThreads:
    """The one pool of helpers of this process; the thread that holds the lock uses it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._pool: HelperPool | None = None

    def pool(self, driver: LoadedCode, helpers: int) -> HelperPool:
        """Return the pool, with this number of helpers. Call it with the lock."""
        pool = self._pool
        if pool is None or not pool.is_current or pool.helpers != helpers:
            self.stop()
            self._pool = pool = HelperPool(driver, helpers)
        return pool

    def wait_until_quiet(self) -> None:
        """Wait until no helper reads a table any more."""
        with self.lock:
            if self._pool is not None:
                self._pool.wait_until_quiet()

    def stop(self) -> None:
        """End all helpers."""
        if self._pool is not None:
            self._pool.stop()
            self._pool = None


_threads = _ProcessThreads()
atexit.register(lambda: _threads.stop())


class Executor:
    """Runs one table. Not thread-safe, because it owns the memory of its activations."""

    def __init__(self, driver: LoadedCode, arena_bytes: int, infinite: list[Buffer]) -> None:
        self._driver = driver
        self._work = self._driver.function("work", ctypes.c_void_p, ctypes.c_int64)
        self._can_help = futex_number(platform.system(), platform.machine()) is not None
        self._arena_bytes = -(-arena_bytes // PAGE) * PAGE + PAGE
        self._infinite = infinite
        self._memory = np.zeros(0, np.uint8)
        self._arenas = 0
        self._alone_control = np.zeros(CONTROL_FIELDS, np.int64)
        self._alone_counters = np.zeros((0, COUNTER_FIELDS), np.int64)
        self._shared_counters = np.zeros((0, COUNTER_FIELDS), np.int64)
        self._policies: dict[int, RestPolicy] = {}
        self._whole = np.zeros((1, OP_FIELDS), np.int64)
        self._whole[0, OpField.FUNCTION] = self._driver.address("run_sample")
        self._whole[0, OpField.TICKETS] = 1

    @property
    def nbytes(self) -> int:
        """Memory of the arenas; at least that of one."""
        return max(self._memory.nbytes, self._arena_bytes)

    def run(self, table: Words, samples: Words, threads: int) -> None:
        """Run all operations on all samples.

        Args:
            table: operations, with the addresses of their kernels and membranes.
            samples: rows of `SampleField`; ARENA is filled in here.
            threads: the caller and at most this many helpers less one.
        """
        helpers = threads - 1 if self._can_help else 0
        self._allocate_arenas(threads, len(table))
        samples[:, SampleField.ARENA] = self._memory.ctypes.data + self._start
        policy = self._policies.setdefault(len(samples), RestPolicy())
        start_s = time.perf_counter()
        joined = helpers > 0 and policy.may_join(start_s) and self._run_shared(table, samples, helpers)
        if not joined:
            self._fill(self._alone_control, self._alone_counters, table, samples)
            self._work(self._alone_control.ctypes.data, 0)
        policy.observe(joined, start_s, time.perf_counter())

    def _run_shared(self, table: Words, samples: Words, helpers: int) -> bool:
        """Run with helpers. Returns False if they work for another caller, or one is still leaving a step."""
        if not _threads.lock.acquire(blocking=False):
            return False
        try:
            pool = _threads.pool(self._driver, helpers)
            if not pool.is_quiet:
                return False
            self._fill(pool.control, self._shared_counters, table, samples)
            pool.step()
            return True
        finally:
            _threads.lock.release()

    def _fill(self, control: Words, counters: Words, table: Words, samples: Words) -> None:
        whole = len(samples) > 1
        if whole:
            self._whole[0, OpField.SOURCE], self._whole[0, OpField.WEIGHT] = table.ctypes.data, len(table)
            table = self._whole
        counters[: len(table)] = 0
        control[ControlField.TABLE], control[ControlField.OPERATIONS] = table.ctypes.data, len(table)
        control[ControlField.SAMPLES], control[ControlField.BATCH] = samples.ctypes.data, len(samples)
        control[ControlField.COUNTERS] = counters.ctypes.data
        control[ControlField.ARENAS] = self._memory.ctypes.data + self._start
        control[ControlField.ARENA_BYTES] = self._arena_bytes
        control[ControlField.OWN_ARENAS] = whole

    def _allocate_arenas(self, threads: int, operations: int) -> None:
        """Allocate an arena for each thread, and counters for each operation."""
        if threads <= self._arenas and operations <= len(self._alone_counters):
            return
        _threads.wait_until_quiet()
        self._memory = np.zeros(self._arena_bytes * threads + PAGE, np.uint8)
        self._start = -self._memory.ctypes.data % PAGE
        self._arenas = threads
        stop = self._start + self._arena_bytes * threads
        arenas = self._memory[self._start : stop].reshape(threads, self._arena_bytes)
        for buffer in self._infinite:
            part = arenas[:, buffer.offset : buffer.offset + buffer.shape.nbytes]
            part.view(np.float32)[:] = -np.inf
        self._alone_counters = np.zeros((operations, COUNTER_FIELDS), np.int64)
        self._shared_counters = np.zeros((operations, COUNTER_FIELDS), np.int64)

    def release(self) -> None:
        """Free the arenas, once no helper reads the tables any more."""
        _threads.wait_until_quiet()
        self._memory = np.zeros(0, np.uint8)
        self._arenas = 0
