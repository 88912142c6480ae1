"""A machine with one processor package and GPUs, whose counters a test advances."""

import os
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from spikewatch.service.power.cpu_share import CpuShare
from spikewatch.service.power.meter import PowerMeter
from spikewatch.service.power.powercap import Powercap


class FakeMachine:
    """`/proc/stat` and a powercap zone in a folder, and the CPU time of a process.

    Attributes:
        stat: as `/proc/stat`.
        powercap_dir: as `/sys/class/powercap`.
    """

    def __init__(self, folder: Path) -> None:
        self.stat = folder / "stat"
        self.powercap_dir = folder / "powercap"
        self._zone = self.powercap_dir / "intel-rapl:0"
        self._zone.mkdir(parents=True)
        (self._zone / "name").write_text("package-0\n")
        (self._zone / "max_energy_range_uj").write_text("262143328850\n")
        self._busy_s = self._own_s = self._joules = 0.0
        self.run()

    def run(self, busy_s: float = 0.0, own_s: float = 0.0, joules: float = 0.0) -> None:
        """Advance all counters: half of the busy time is the system's, and idle time passes too."""
        self._busy_s += busy_s
        self._own_s += own_s
        self._joules += joules
        ticks = round(self._busy_s * os.sysconf("SC_CLK_TCK"))
        user, system = ticks - ticks // 2, ticks // 2
        self.stat.write_text(f"cpu  {user} 0 {system} 987654 321 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 0 0 0\n")
        (self._zone / "energy_uj").write_text(f"{round(self._joules * 1e6)}\n")

    def process_s(self) -> float:
        """CPU time of the process."""
        return self._own_s

    def meter(self) -> PowerMeter:
        """A meter of this machine."""
        return PowerMeter(Powercap(self.powercap_dir), cpu_share=CpuShare(self.stat, self.process_s))

    def metrics(self, meter: PowerMeter) -> dict[str, float]:
        """Series -> value."""
        registry = CollectorRegistry()
        registry.register(meter)
        lines = generate_latest(registry).decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line[0] != "#"}


class FakeNvml:
    """pynvml's functions, for GPUs with these counters in millijoules; None: the GPU has none."""

    class NVMLError(Exception):
        """As pynvml's."""

    def __init__(self, millijoules: Sequence[int | None], broken: bool = False) -> None:
        self.millijoules = list(millijoules)
        self.broken = broken

    def nvmlInit(self) -> None:
        if self.broken:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return len(self.millijoules)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if (value := self.millijoules[handle]) is None:
            raise self.NVMLError("Not Supported")
        return value
