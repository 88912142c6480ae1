"""Measured energy: the share of a process, and the metrics."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from spikewatch.service.power.cpu_share import CpuShare
from spikewatch.service.power.meter import PowerMeter, poll_periodically
from spikewatch.service.power.nvml import Nvml
from spikewatch.service.power.powercap import Powercap
from spikewatch.service.tasks import cancel_and_wait
from tests.service.support.machine import FakeMachine, FakeNvml


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def test_share_is_process_time_over_busy_time(machine: FakeMachine) -> None:
    share = CpuShare(machine.stat, machine.process_s)
    machine.run(busy_s=4.0, own_s=1.0)
    assert share.take() == pytest.approx(0.25)
    machine.run(busy_s=2.0, own_s=2.0)
    assert share.take() == pytest.approx(1.0)


def test_share_is_zero_on_an_idle_machine_and_never_above_one(machine: FakeMachine) -> None:
    share = CpuShare(machine.stat, machine.process_s)
    assert share.take() == 0.0
    machine.run(busy_s=1.0, own_s=1.02)  # ticks are coarser than the clock of a process
    assert share.take() == 1.0


def test_process_takes_its_part_of_each_interval(machine: FakeMachine) -> None:
    meter = machine.meter()
    machine.run(busy_s=4.0, own_s=1.0, joules=100.0)
    meter.read()
    machine.run(busy_s=4.0, own_s=4.0, joules=50.0)
    lines = machine.metrics(meter)
    assert lines['spikewatch_host_energy_joules_total{domain="package-0",source="powercap"}'] == 150.0
    process = lines['spikewatch_process_energy_joules_total{domain="package-0",source="powercap"}']
    assert process == pytest.approx(100 / 4 + 50)
    assert lines['spikewatch_host_energy_available{source="powercap"}'] == 1.0


def test_machine_that_measures_nothing_says_so(tmp_path: Path) -> None:
    meter = PowerMeter(Powercap(tmp_path / "absent"), [Nvml(FakeNvml([]))])
    registry = CollectorRegistry()
    registry.register(meter)
    text = generate_latest(registry).decode()
    assert not meter.available
    assert set(meter.reasons) == {"powercap", "nvml"}
    assert 'spikewatch_host_energy_available{source="powercap"} 0.0' in text
    assert "spikewatch_host_energy_joules_total{" not in text


def test_meter_is_read_between_scrapes(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def poll() -> None:
        meter, read = machine.meter(), asyncio.Event()
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(meter, "read", lambda: loop.call_soon_threadsafe(read.set))
        task = asyncio.create_task(poll_periodically(meter, interval_s=0))
        await asyncio.wait_for(read.wait(), timeout=10)
        await cancel_and_wait(task)

    asyncio.run(poll())
