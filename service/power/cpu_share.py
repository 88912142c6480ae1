"""Share of this process in the busy time of all processors."""

import os
import time
from collections.abc import Callable
from pathlib import Path

STAT = Path("/proc/stat")
BUSY_COLUMNS = (0, 1, 2, 5, 6)
"""user (with guests), nice, system, irq, softirq: see proc(5)."""


class CpuShare:
    """CPU time of this process over that of the whole machine, between two calls.

    Args:
        stat: the kernel's counters; in a container they are those of the machine.
        process_s: CPU seconds of this process.
    """

    def __init__(self, stat: Path = STAT, process_s: Callable[[], float] = time.process_time) -> None:
        self._stat = stat
        self._process_s = process_s
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self._last = self._times()

    def take(self) -> float:
        """Return the share since the last call, in 0..1; 0 if the machine was idle."""
        process_s, busy_s = self._times()
        process, busy = process_s - self._last[0], busy_s - self._last[1]
        self._last = process_s, busy_s
        return min(max(process / busy, 0.0), 1.0) if busy > 0 else 0.0

    def _times(self) -> tuple[float, float]:
        ticks = [int(value) for value in self._stat.read_text().split("\n", 1)[0].split()[1:]]
        return self._process_s(), sum(ticks[column] for column in BUSY_COLUMNS) / self._ticks_per_s
