"""Energy counters of Linux powercap, on trees laid out as the kernel's."""

import os
from pathlib import Path

import pytest

from spikewatch.service.power.powercap import Powercap

RANGE_UJ = 262_143_328_850
"""As on Intel servers."""


def zone(root: Path, folder: str, name: str, energy_uj: int) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path / "energy_uj"


def test_energy_counts_from_the_first_reading(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    cores = zone(tmp_path, "intel-rapl:0:0", "core", 1_000_000)
    powercap = Powercap(tmp_path)
    package.write_text("7500000\n")
    cores.write_text("1250000\n")
    assert powercap.joules() == {"package-0": 2.5, "package-0/core": 0.25}
    assert powercap.package_joules() == {"package-0": 2.5}


def test_nested_folders_are_read_alike(tmp_path: Path) -> None:
    """/sys/devices/virtual/powercap, the folder that can be mounted into a container."""
    zone(tmp_path / "intel-rapl", "intel-rapl:0", "package-0", 0)
    dram = zone(tmp_path / "intel-rapl" / "intel-rapl:0", "intel-rapl:0:1", "dram", 0)
    powercap = Powercap(tmp_path)
    dram.write_text("3000000")
    assert powercap.joules() == {"package-0": 0.0, "package-0/dram": 3.0}


def test_counter_that_passed_its_range_goes_on(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 1_000_000)
    powercap = Powercap(tmp_path)
    counter.write_text("3000000\n")
    assert powercap.joules() == {"package-0": pytest.approx(4.0)}
    counter.write_text("4000000\n")
    assert powercap.joules() == {"package-0": pytest.approx(5.0)}


def test_same_zone_of_a_second_interface_is_counted_once(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0)
    zone(tmp_path, "intel-rapl:1", "psys", 0)
    powercap = Powercap(tmp_path)
    assert set(powercap.joules()) == {"package-0", "psys"}
    assert set(powercap.package_joules()) == {"package-0"}


def test_zone_without_a_counter_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "dtpm:0").mkdir()
    (tmp_path / "dtpm:0" / "name").write_text("dtpm\n")
    assert Powercap(tmp_path).joules() == {}


def test_counter_that_disappears_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    gone = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    powercap = Powercap(tmp_path)
    gone.unlink()
    assert powercap.joules() == {"package-0": 0.0}
    assert "package-1" in caplog.text


@pytest.mark.parametrize("root", ["absent", "."])
def test_machine_without_counters_says_so(tmp_path: Path, root: str) -> None:
    powercap = Powercap(tmp_path / root)
    assert powercap.joules() == {}
    assert "no energy counters" in powercap.reason


def test_counters_of_root_only_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    read_text = Path.read_text

    def refuse(path: Path) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, os.strerror(13), str(path))
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", refuse)  # tests may run as root, who may read everything
    powercap = Powercap(tmp_path)
    assert powercap.joules() == {}
    assert powercap.reason == f"{counter} is readable by root only"
