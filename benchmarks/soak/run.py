"""The run: the service lives, is ended and lives again while the clients play, and is looked at."""

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.soak.cast import Cast
from benchmarks.soak.expected import Expected
from benchmarks.soak.growth import Growth, growth
from benchmarks.soak.lives import Lives
from benchmarks.soak.recordings import make_recordings
from benchmarks.soak.samples import Books, Sample, look, scrape, watch
from benchmarks.soak.stage import Stage
from benchmarks.soak.tally import Tally, Wrong

KILLS = ((1 / 6, signal.SIGKILL), (1 / 2, signal.SIGTERM))
GROWS = "memory grows"
BUSY_SHARE = 0.3
"""The service is ended while so many clients have been saved and go on; or so, if that takes too long."""
MOST_BUSY_S = 20.0
MOST_QUIET_S = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run.

    Attributes:
        minutes: in all.
        kills: share of the time, and the signal by which the service is ended then.
        seed: of the cast.
        at_once: clients.
        weights: as the service takes them; None: the shipped.
        recordings: folder of real ones, if any.
        street_s: how much of the bundled recording is played.
        sample_s: between two samples.
        idle_s: silence that ends a session.
        play_s: between two rests, in which nobody comes and memory is measured.
        warm_s: of each life, whose memory is not judged: what is used for the first time is still to come.
        rest_s: how long nothing is under way by then; longer than the service takes to give back memory.
    """

    minutes: float
    kills: tuple[tuple[float, signal.Signals], ...] = KILLS
    seed: int = 0
    at_once: int = 8
    weights: str | None = None
    recordings: Path | None = None
    street_s: float = 3.0
    sample_s: float = 5.0
    idle_s: float = 15.0
    play_s: float = 30.0
    rest_s: float = 15.0
    warm_s: float = 600.0

    def settings(self) -> dict[str, str]:
        """Of the service: small limits, so that they are reached, and soon."""
        return {
            "SPIKEWATCH_IDLE_TIMEOUT_S": f"{self.idle_s:g}",
            "SPIKEWATCH_IDLE_WARNING_S": f"{self.idle_s / 3:g}",
            "SPIKEWATCH_SNAPSHOT_EVERY_S": f"{self.idle_s / 5:g}",
            "SPIKEWATCH_SNAPSHOT_MAX_COUNT": "24",
            "SPIKEWATCH_MAX_SESSIONS": str(self.at_once),
            "SPIKEWATCH_MAX_BATCH": "4",
            "SPIKEWATCH_DRAIN_TIMEOUT_S": "60",
            "SPIKEWATCH_JOBS_MAX_BYTES": str(8 << 20),
            "SPIKEWATCH_GIVE_BACK_EVERY_S": f"{self.rest_s / 2:g}",
        }


@dataclass(slots=True)
class Outcome:
    """What a run gave."""

    plan: Plan
    tally: Tally
    lives: Lives
    model: str
    samples: list[Sample] = field(default_factory=list)
    rests: list[Sample] = field(default_factory=list)
    books: list[Books] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    minutes: float = 0.0


async def soak(plan: Plan, folder: Path) -> Outcome:
    """Run it all; what is wrong is in `tally.failures`."""
    expected = Expected(plan.weights, folder)
    recordings = make_recordings(folder, plan.recordings, plan.street_s)
    lives = Lives(plan.weights, plan.settings(), folder)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=lives.url, timeout=120, limits=limits, trust_env=False) as http:
        stage = Stage(lives, http, recordings, expected)
        outcome = Outcome(plan, stage.tally, lives, expected.model)
        try:
            await lives.start()
            await _play(outcome, stage)
        except* Wrong as wrongs:
            for wrong in wrongs.exceptions:
                stage.tally.fail(str(wrong))
        finally:
            with contextlib.suppress(Wrong):
                lives.stop(signal.SIGKILL)
    for complaint in lives.complaints():
        stage.tally.fail(f"the service logged: {complaint}")
    _judge(outcome)
    return outcome


async def _play(outcome: Outcome, stage: Stage) -> None:
    plan, lives = outcome.plan, outcome.lives
    cast = Cast(stage, plan.at_once, plan.seed)
    playing = asyncio.create_task(cast.play())
    watching = asyncio.create_task(watch(lives, plan.sample_s, outcome.samples))
    guarding = asyncio.create_task(_guard(lives))
    directing = asyncio.create_task(_direct(outcome, stage, cast))
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


async def _guard(lives: Lives) -> None:
    """Notice a service that ends by itself."""
    while not lives.died:
        await asyncio.sleep(0.5)
    raise Wrong("the service has died by itself")


async def _direct(outcome: Outcome, stage: Stage, cast: Cast) -> None:
    """Let the clients play; end the service when it is time, in the middle of their streams."""
    plan, lives = outcome.plan, outcome.lives
    begun_s, all_s = time.monotonic(), plan.minutes * 60
    for share, how in sorted(plan.kills):
        await _play_until(begun_s + share * all_s, outcome, stage, cast)
        cast.go_on()
        await _busy(stage, plan.at_once)
        await lives.end(how)
        await lives.start()
        stage.tally.counts["restarts"] += 1
    await _play_until(begun_s + all_s, outcome, stage, cast)
    await cast.finish()
    await lives.end(signal.SIGTERM)
    outcome.minutes = (time.monotonic() - begun_s) / 60


async def _play_until(end_s: float, outcome: Outcome, stage: Stage, cast: Cast) -> None:
    """Let the clients play, once at least, with a rest now and then and one at the end."""
    plan, left_s = outcome.plan, 1.0
    while left_s > 0:
        cast.go_on()
        await asyncio.sleep(min(plan.play_s, max(end_s - time.monotonic(), 0)))
        await _balance(outcome, stage, cast)
        await asyncio.sleep(plan.rest_s)
        outcome.rests.append(await look(outcome.lives, stage.http))
        left_s = end_s - time.monotonic()


async def _balance(outcome: Outcome, stage: Stage, cast: Cast) -> None:
    """Let the clients come to an end, and look at the service's own counts once nothing is under way."""
    await cast.pause()
    deadline = time.monotonic() + MOST_QUIET_S
    books = Books.of(outcome.lives.current.number, await scrape(stage.http))
    while (books.sessions or books.queued) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        books = Books.of(outcome.lives.current.number, await scrape(stage.http))
    outcome.books.append(books)


async def _busy(stage: Stage, at_once: int) -> None:
    """Wait until several sessions are in the middle of their streams."""
    deadline = time.monotonic() + MOST_BUSY_S
    while time.monotonic() < deadline:
        sessions = (await stage.ask("GET", "/v1/sessions")).json()["sessions"]
        if sum(session["saved_bytes"] is not None for session in sessions) >= BUSY_SHARE * at_once:
            return
        await asyncio.sleep(0.1)


def _judge(outcome: Outcome) -> None:
    """Fail on books that do not balance, sessions that stay, and memory that grows."""
    tally = outcome.tally
    for books in outcome.books:
        if books.sessions:
            tally.fail(f"{books.sessions} sessions were left open in life {books.life}")
        if not books.balanced:
            tally.fail(f"the service's counts of slices do not balance: {books}")
    judge_memory(outcome)
    if not tally.counts["windows compared"]:
        tally.fail("no window was compared")


def judge_memory(outcome: Outcome) -> None:
    """Fail on memory that grows."""
    for life in outcome.lives.all:
        grown = growth(outcome.rests, life.number, life.ready_s, outcome.plan.warm_s)
        outcome.growths.append(grown)
        if grown.grows:
            outcome.tally.fail(f"{GROWS} in life {grown.life}: {grown}")
