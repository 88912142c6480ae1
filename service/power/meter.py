"""Measured energy as Prometheus metrics: of the machine by domain, and the share of this process."""

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from spikewatch.service.power.cpu_share import CpuShare
from spikewatch.service.power.nvml import Nvml
from spikewatch.service.power.powercap import POWERCAP, Powercap

POLL_INTERVAL_S = 60.0
"""Far below the time in which the counters of a processor pass their range."""

log = logging.getLogger("spikewatch.power")


class EnergySource(Protocol):
    """Counters of one kind. `reason` says why there are none."""

    @property
    def name(self) -> str:
        """Label `source`."""

    @property
    def reason(self) -> str:
        """Why nothing, or not everything, can be measured; empty if all is well."""

    def joules(self) -> dict[str, float]:
        """Return joules since the start by domain."""


class PowerMeter(Collector):
    """Reads all sources at every scrape, and once a minute in between.

    The share of a process in a package is the package's energy times the process's share of the busy CPU
    time, summed over intervals between readings. It so takes its part of the idle power as well.

    Args:
        powercap: counters of the processors.
        others: further sources, whose energy is not split.
        cpu_share: CPU time of this process.
    """

    def __init__(
        self, powercap: Powercap, others: Sequence[EnergySource] = (), cpu_share: CpuShare | None = None
    ) -> None:
        self._powercap = powercap
        self._sources: tuple[EnergySource, ...] = (powercap, *others)
        self._cpu_share = cpu_share
        self._host: dict[tuple[str, str], float] = {}
        self._process: dict[str, float] = {}
        self._lock = threading.Lock()
        self.read()

    @property
    def reasons(self) -> dict[str, str]:
        """Source -> why nothing, or not everything, can be measured."""
        return {source.name: source.reason for source in self._sources if source.reason}

    @property
    def available(self) -> bool:
        """True if anything can be measured."""
        return bool(self._host)

    def read(self) -> None:
        """Read all counters."""
        with self._lock:
            before = self._powercap.package_joules()
            self._host = {
                (source.name, domain): joules
                for source in self._sources
                for domain, joules in source.joules().items()
            }
            if not (packages := self._powercap.package_joules()):
                return
            self._cpu_share = self._cpu_share or CpuShare()
            share = self._cpu_share.take()
            for domain, joules in packages.items():
                used = (joules - before.get(domain, joules)) * share
                self._process[domain] = self._process.get(domain, 0.0) + used

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, after reading all counters."""
        self.read()
        host = CounterMetricFamily(
            "spikewatch_host_energy_joules",
            "Measured energy of this machine since the start; a package includes its cores",
            labels=["domain", "source"],
        )
        process = CounterMetricFamily(
            "spikewatch_process_energy_joules",
            "Measured energy of processor packages times this process's share of their CPU time",
            labels=["domain", "source"],
        )
        available = GaugeMetricFamily(
            "spikewatch_host_energy_available",
            "1 if the source measures energy on this machine",
            labels=["source"],
        )
        with self._lock:
            for (name, domain), joules in self._host.items():
                host.add_metric([domain, name], joules)
            for domain, joules in self._process.items():
                process.add_metric([domain, self._powercap.name], joules)
            measuring = {name for name, _ in self._host}
        for name in (source.name for source in self._sources):
            available.add_metric([name], float(name in measuring))
        yield from (host, process, available)


def host_power_meter(powercap_dir: Path = POWERCAP) -> PowerMeter:
    """Return the meter of this machine, and log what it cannot measure."""
    meter = PowerMeter(Powercap(powercap_dir), [Nvml()])
    for source, reason in meter.reasons.items():
        log.info("energy is not measured", extra={"source": source, "reason": reason})
    return meter


async def poll_periodically(meter: PowerMeter, interval_s: float = POLL_INTERVAL_S) -> None:
    """Read the meter until cancelled, so that no counter passes its range unseen between two scrapes."""
    while True:
        await asyncio.sleep(interval_s)
        await asyncio.to_thread(meter.read)
