"""Energy counters of GPUs, with a library that answers as pynvml does."""

import sys
from collections.abc import Sequence

import pytest

from spikewatch.service.power.nvml import Nvml


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


def test_energy_counts_from_the_first_reading() -> None:
    library = FakeNvml([10_000, 20_000])
    gpus = Nvml(library)
    library.millijoules = [12_500, 20_000]
    assert gpus.joules() == {"gpu-0": 2.5, "gpu-1": 0.0}
    assert gpus.reason == ""


def test_gpu_without_a_counter_is_named() -> None:
    gpus = Nvml(FakeNvml([None, 5]))
    assert gpus.joules() == {"gpu-1": 0.0}
    assert gpus.reason == "gpu-0: Not Supported"


def test_gpu_that_is_lost_is_left_out() -> None:
    library = FakeNvml([1, 2])
    gpus = Nvml(library)
    library.millijoules[0] = None
    assert gpus.joules() == {"gpu-1": 0.0}


def test_machine_without_gpus_says_so() -> None:
    assert Nvml(FakeNvml([])).reason == "NVML found no GPU"
    assert Nvml(FakeNvml([], broken=True)).reason == "NVML: Driver Not Loaded"


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pip install 'spikewatch[power]'" in Nvml().reason
