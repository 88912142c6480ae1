"""Samples of the service's resources and metrics, taken every few seconds."""

import asyncio
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.soak.service_process import ServiceProcess

PROC = Path("/proc")
_SERIES = re.compile(r"^(\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)
_MODEL = re.compile(r'model="[^"]*",?')


@dataclass(frozen=True, slots=True)
class Sample:
    """The service at one moment.

    Attributes:
        t_s: since the run began.
        life: number of the process.
        memory: resident, in bytes, without pages of files, which the kernel may drop at will.
        children_memory: resident memory of its children.
        descriptors, threads, sessions, queued_slices, jobs: how many.
    """

    t_s: float
    life: int
    memory: int
    children_memory: int
    descriptors: int
    threads: int
    sessions: int
    queued_slices: int
    jobs: int


async def scrape_metrics(http: httpx.AsyncClient) -> dict[str, float]:
    """All series of /metrics with their labels but for the model, over which they are summed up."""
    answer = await http.get("/metrics")
    answer.raise_for_status()
    sums: dict[str, float] = {}
    for name, value in _SERIES.findall(answer.text):
        name = _MODEL.sub("", name).replace("{}", "")
        sums[name] = sums.get(name, 0.0) + float(value)
    return sums


async def sample_periodically(service: ServiceProcess, interval_s: float, samples: list[Sample]) -> None:
    """Take samples until cancelled; none while the service is not there."""
    async with httpx.AsyncClient(base_url=service.url, trust_env=False) as http:
        while True:
            with suppress(OSError, httpx.HTTPError, KeyError):
                # it is about to end; a process that has ended has no memory
                samples.append(await take_sample(service, http))
            await asyncio.sleep(interval_s)


async def take_sample(service: ServiceProcess, http: httpx.AsyncClient) -> Sample:
    """A sample now.

    Raises:
        OSError, httpx.HTTPError, KeyError: the service is about to end.
    """
    life, counted = service.current, await scrape_metrics(http)
    status = _process_status(life.pid)
    return Sample(
        t_s=service.now_s,
        life=life.number,
        memory=_parse_kib(status["RssAnon"]),
        children_memory=sum(
            _parse_kib(_process_status(child).get("VmRSS", "0 kB")) for child in _children(life.pid)
        ),
        descriptors=len(os.listdir(PROC / str(life.pid) / "fd")),
        threads=int(status["Threads"]),
        sessions=int(counted["spikewatch_sessions"]),
        queued_slices=int(counted["spikewatch_queued_slices"]),
        jobs=int(counted["spikewatch_jobs"]),
    )


def _process_status(pid: int) -> dict[str, str]:
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:  # it has just ended
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:  # a thread that has ended
            continue
    return found


def _parse_kib(text: str) -> int:
    return int(text.split()[0]) * 1024


@dataclass(frozen=True, slots=True)
class Ledger:
    """The service's own counts while nothing is under way: of slices, all that came in went somewhere."""

    life: int
    accepted: int
    run: int
    dropped: int
    discarded: int
    queued: int
    sessions: int
    saved: int
    not_saved: int
    restored: int

    @staticmethod
    def from_metrics(life: int, metrics: Mapping[str, float]) -> "Ledger":
        """As scraped."""

        def number(series: str, outcome: str) -> int:
            return int(metrics[f'spikewatch_{series}_total{{outcome="{outcome}"}}'])

        return Ledger(
            life=life,
            accepted=number("slices", "accepted"),
            run=number("slices", "run"),
            discarded=number("slices", "discarded"),
            saved=number("snapshots", "saved"),
            not_saved=number("snapshots", "failed"),
            restored=number("snapshots", "restored"),
            dropped=int(metrics["spikewatch_dropped_slices_total"]),
            queued=int(metrics["spikewatch_queued_slices"]),
            sessions=int(metrics["spikewatch_sessions"]),
        )

    @property
    def balanced(self) -> bool:
        """Every slice accepted was run, dropped as the policy says, discarded with its session, or waits."""
        return self.accepted == self.run + self.dropped + self.discarded + self.queued
