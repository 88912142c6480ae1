"""Energy counters of GPUs, with a library that answers as pynvml does."""

import sys

import pytest

from spikewatch.service.power.nvml import Nvml
from tests.service.support.machine import FakeNvml


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
