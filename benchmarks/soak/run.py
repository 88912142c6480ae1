"""The run: the service lives, is ended and lives again while the clients play, and is looked at."""

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.soak.context import SoakContext
from benchmarks.soak.counters import Failure, SoakCounters
from benchmarks.soak.expected import OfflineReference
from benchmarks.soak.memory_growth import Growth, fit_growth
from benchmarks.soak.recordings import make_recordings
from benchmarks.soak.samples import Ledger, Sample, sample_periodically, scrape_metrics, take_sample
from benchmarks.soak.scenarios import ClientPool
from benchmarks.soak.service_process import ServiceProcess

KILLS = ((1 / 6, signal.SIGKILL), (1 / 2, signal.SIGTERM))
GROWTH_FAILURE = "memory grows"
BUSY_SHARE = 0.3
"""The service is ended while so many clients have been saved and go on; or so, if that takes too long."""
BUSY_TIMEOUT_S = 20.0
QUIET_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """Options of a soak run.

    Attributes:
        minutes: in all.
        kills: share of the time, and the signal by which the service is ended then.
        seed: of the cast.
        concurrency: clients.
        weights: as the service takes them; None: the shipped.
        recordings: folder of real ones, if any.
        street_s: how much of the bundled recording is played.
        sample_s: between two samples.
        idle_s: silence that ends a session.
        play_s: between two rests, in which nobody comes and memory is measured.
        warm_s: start of each life, in which memory is not judged, because caches still fill.
        rest_s: how long nothing is under way by then; longer than the service takes to give back memory.
    """

    minutes: float
    kills: tuple[tuple[float, signal.Signals], ...] = KILLS
    seed: int = 0
    concurrency: int = 8
    weights: str | None = None
    recordings: Path | None = None
    street_s: float = 3.0
    sample_s: float = 5.0
    idle_s: float = 15.0
    play_s: float = 30.0
    rest_s: float = 15.0
    warm_s: float = 600.0

    def service_environment(self) -> dict[str, str]:
        """Of the service: small limits, so that they are reached, and soon."""
        return {
            "SPIKEWATCH_IDLE_TIMEOUT_S": f"{self.idle_s:g}",
            "SPIKEWATCH_IDLE_WARNING_S": f"{self.idle_s / 3:g}",
            "SPIKEWATCH_SNAPSHOT_EVERY_S": f"{self.idle_s / 5:g}",
            "SPIKEWATCH_SNAPSHOT_MAX_COUNT": "24",
            "SPIKEWATCH_MAX_SESSIONS": str(self.concurrency),
            "SPIKEWATCH_MAX_BATCH": "4",
            "SPIKEWATCH_DRAIN_TIMEOUT_S": "60",
            "SPIKEWATCH_JOBS_MAX_BYTES": str(8 << 20),
            "SPIKEWATCH_MEMORY_TRIM_INTERVAL_S": f"{self.rest_s / 2:g}",
        }


@dataclass(slots=True)
class SoakResult:
    """Results of a soak run."""

    options: SoakOptions
    counters: SoakCounters
    service: ServiceProcess
    model: str
    samples: list[Sample] = field(default_factory=list)
    rests: list[Sample] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    minutes: float = 0.0


async def run_soak(options: SoakOptions, folder: Path) -> SoakResult:
    """Run the soak; reasons for failure are in `tally.failures`."""
    expected = OfflineReference(options.weights, folder)
    recordings = make_recordings(folder, options.recordings, options.street_s)
    lives = ServiceProcess(options.weights, options.service_environment(), folder)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=lives.url, timeout=120, limits=limits, trust_env=False) as http:
        stage = SoakContext(lives, http, recordings, expected)
        outcome = SoakResult(options, stage.counters, lives, expected.model)
        try:
            await lives.start()
            await _run_clients(outcome, stage)
        except* Failure as wrongs:
            for wrong in wrongs.exceptions:
                stage.counters.add_failure(str(wrong))
        finally:
            with contextlib.suppress(Failure):
                lives.stop(signal.SIGKILL)
    for complaint in lives.logged_errors():
        stage.counters.add_failure(f"the service logged: {complaint}")
    _check_result(outcome)
    return outcome


async def _run_clients(result: SoakResult, context: SoakContext) -> None:
    plan, lives = result.options, result.service
    cast = ClientPool(context, plan.concurrency, plan.seed)
    playing = asyncio.create_task(cast.run())
    watching = asyncio.create_task(sample_periodically(lives, plan.sample_s, result.samples))
    guarding = asyncio.create_task(_watch_process(lives))
    directing = asyncio.create_task(_run_schedule(result, context, cast))
    tasks = (playing, watching, guarding, directing)
    try:
        await asyncio.wait({guarding, directing, watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in (guarding, directing, watching):
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch_process(service: ServiceProcess) -> None:
    """Notice a service that ends by itself."""
    while not service.died:
        await asyncio.sleep(0.5)
    raise Failure("the service has died by itself")  # no value


async def _run_schedule(result: SoakResult, context: SoakContext, clients: ClientPool) -> None:
    """Let the clients play; end the service when it is time, in the middle of their streams."""
    plan, lives = result.options, result.service
    begun_s, all_s = time.monotonic(), plan.minutes * 60
    for share, how in sorted(plan.kills):
        await _run_clients_until(begun_s + share * all_s, result, context, clients)
        clients.resume()
        await _wait_until_busy(context, plan.concurrency)
        await lives.end(how)
        await lives.start()
        context.counters.counts["restarts"] += 1
    await _run_clients_until(begun_s + all_s, result, context, clients)
    await clients.finish()
    await lives.end(signal.SIGTERM)
    result.minutes = (time.monotonic() - begun_s) / 60


async def _run_clients_until(
    end_s: float, result: SoakResult, context: SoakContext, clients: ClientPool
) -> None:
    """Let the clients play, once at least, with a rest now and then and one at the end."""
    plan, left_s = result.options, 1.0
    while left_s > 0:
        clients.resume()
        await asyncio.sleep(min(plan.play_s, max(end_s - time.monotonic(), 0)))
        await _record_ledger(result, context, clients)
        await asyncio.sleep(plan.rest_s)
        result.rests.append(await take_sample(result.service, context.http))
        left_s = end_s - time.monotonic()


async def _record_ledger(result: SoakResult, context: SoakContext, clients: ClientPool) -> None:
    """Let the clients come to an end, and look at the service's own counts once nothing is under way."""
    await clients.pause()
    deadline = time.monotonic() + QUIET_TIMEOUT_S
    books = Ledger.from_metrics(result.service.current.number, await scrape_metrics(context.http))
    while (books.sessions or books.queued) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        books = Ledger.from_metrics(result.service.current.number, await scrape_metrics(context.http))
    result.ledgers.append(books)


async def _wait_until_busy(context: SoakContext, at_once: int) -> None:
    """Wait until several sessions are in the middle of their streams."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while time.monotonic() < deadline:
        sessions = (await context.request("GET", "/v1/sessions")).json()["sessions"]
        if sum(session["saved_bytes"] is not None for session in sessions) >= BUSY_SHARE * at_once:
            return
        await asyncio.sleep(0.1)


def _check_result(result: SoakResult) -> None:
    """Fail on books that do not balance, sessions that stay, and memory that grows."""
    tally = result.counters
    for books in result.ledgers:
        if books.sessions:
            tally.add_failure(f"{books.sessions} sessions were left open in life {books.life}")
        if not books.balanced:
            tally.add_failure(f"the service's counts of slices do not balance: {books}")
    check_memory_growth(result)
    if not tally.counts["windows compared"]:
        tally.add_failure("no window was compared")


def check_memory_growth(result: SoakResult) -> None:
    """Fail on memory that grows."""
    for life in result.service.runs:
        grown = fit_growth(result.rests, life.number, life.ready_s, result.options.warm_s)
        result.growths.append(grown)
        if grown.grows:
            result.counters.add_failure(f"{GROWTH_FAILURE} in life {grown.life}: {grown}")
