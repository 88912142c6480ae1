"""Threads of a step: the caller, and helpers of the whole process that join if they have a core.

A step needs no helper, because any thread inside it draws tickets. So a helper that sleeps or lost its core
between two tickets costs nothing. One that lost its core within a ticket makes the step wait for it; then the
step takes longer than it does without helpers, and `RestPolicy` lets the helpers rest for a while.
"""

import ctypes
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikewatch.model.runtime.compiled.abi import CONTROL_FIELDS, GATE_CLOSED, WORD, ControlField
from spikewatch.model.runtime.compiled.object_code import LoadedCode

FIRST_REST_S, LONGEST_REST_S = 1.0, 60.0
EPOCH_LIMIT = 1 << 30
"""Steps after which helpers are replaced, before the int32 of their number overflows."""

POLL_S = 0.0002

_FUTEX_WAKE = 129


@dataclass(slots=True)
class RestPolicy:
    """Decides whether helpers join the next step of one network and batch size.

    Helpers join while steps with them are faster than steps without. The first step runs without them. After
    a step that was not faster they rest, for twice as long as the last time if that was within one rest.

    Attributes:
        alone_s: duration of a step without helpers, a mean in which recent steps count most.
    """

    alone_s: float | None = None
    _rest_s: float = FIRST_REST_S
    _until_s: float = 0.0

    def may_join(self, now_s: float) -> bool:
        """Return whether helpers may join a step that starts now."""
        return self.alone_s is not None and now_s >= self._until_s

    def observe(self, joined: bool, start_s: float, end_s: float) -> None:
        """Record a step."""
        took_s = end_s - start_s
        if not joined:
            self.alone_s = took_s if self.alone_s is None else 0.8 * self.alone_s + 0.2 * took_s
        elif self.alone_s is not None and took_s > self.alone_s:
            again = end_s - self._until_s < self._rest_s
            self._rest_s = min(2 * self._rest_s, LONGEST_REST_S) if again else FIRST_REST_S
            self._until_s = end_s + self._rest_s


class HelperPool:
    """Helper threads of a process, and the control block that they look at.

    Attributes:
        control: fields of `ControlField`, filled in by the caller of a step.
    """

    def __init__(self, driver: LoadedCode, helpers: int) -> None:
        self._memory = np.zeros(CONTROL_FIELDS + WORD, np.int64)  # aligned to a cache line
        start = -self._memory.ctypes.data % 64 // WORD
        self.control: npt.NDArray[np.int64] = self._memory[start : start + CONTROL_FIELDS]
        self.control[ControlField.GATE] = GATE_CLOSED
        self._step = driver.function("step", ctypes.c_void_p)
        self._help = driver.function("help", ctypes.c_void_p, ctypes.c_int64)
        self._address = self.control.ctypes.data
        self._pid = os.getpid()
        self._threads = [
            threading.Thread(target=self._help, args=(self._address, number + 1), daemon=True)
            for number in range(helpers)
        ]
        for number, thread in enumerate(self._threads):
            thread.name = f"spikewatch-compute-{number + 1}"
            thread.start()

    @property
    def helpers(self) -> int:
        """Return the number of helpers."""
        return len(self._threads)

    @property
    def is_current(self) -> bool:
        """Return False after a fork, which copies no helpers, and before the number of steps overflows."""
        return self._pid == os.getpid() and self._epochs[0] < EPOCH_LIMIT

    @property
    def is_quiet(self) -> bool:
        """Return whether no helper is inside a step any more."""
        return bool(self.control[ControlField.GATE] == GATE_CLOSED)

    @property
    def _epochs(self) -> npt.NDArray[np.int32]:
        return self.control[ControlField.EPOCH : ControlField.EPOCH + 1].view(np.int32)

    def step(self) -> None:
        """Run a step."""
        self._step(self._address)

    def wait_until_quiet(self) -> None:
        """Wait until no helper reads a table any more."""
        while self._pid == os.getpid() and not self.is_quiet:
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End the helpers, and wait for them."""
        if self._pid != os.getpid() or not self._threads:
            return
        self._epochs[0] = -1
        number = _futex_number()
        libc: Any = ctypes.CDLL(None)
        address = ctypes.c_void_p(self._address + WORD * ControlField.EPOCH)
        for thread in self._threads:
            while thread.is_alive():
                libc.syscall(number, address, _FUTEX_WAKE, GATE_CLOSED, None, None, 0)
                thread.join(0.01)
        self._threads = []


def _futex_number() -> int | None:
    import platform

    from spikewatch.model.runtime.compiled.driver import futex_number

    return futex_number(platform.system(), platform.machine())


def compute_threads() -> int:
    """Return the threads of a step where nobody chooses: those of OMP_NUM_THREADS, or all cores."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    return max(int(chosen), 1) if chosen.isdecimal() else len(os.sched_getaffinity(0))
