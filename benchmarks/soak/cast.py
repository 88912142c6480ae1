"""Who plays: roles, how often each comes, and as many clients at once as there is room for."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import httpx
from websockets.exceptions import WebSocketException

from benchmarks.soak.breaking import Break, brittle
from benchmarks.soak.expected import Part
from benchmarks.soak.faults import FAULTS
from benchmarks.soak.poster import Poster, leave_silently
from benchmarks.soak.stage import Reel, Stage, whole
from benchmarks.soak.streamer import Camera, Habits, Streamer
from benchmarks.soak.tally import Wrong
from benchmarks.soak.uploader import Uploader

EARLY = (0.31, 0.62)
PATIENCE_S = 900.0
"""A client that has not come to its end by then hangs."""


async def _stream(stage: Stage, name: str, rng: Random, habits: Habits, early: bool = False) -> None:
    recording = stage.streamable(rng)
    size = int(len(recording.data) * rng.choice(EARLY)) if early else len(recording.data)
    reel = Reel((Part(recording, size),))
    await Streamer(stage, name, reel, stage.choice(rng), habits, rng).play()


async def to_the_end(stage: Stage, name: str, rng: Random) -> None:
    """Plays a recording, quickly or at some pace."""
    await _stream(stage, name, rng, Habits(send_pause_s=rng.choice([0.0, 0.0, 0.2])))


async def breaking(stage: Stage, name: str, rng: Random) -> None:
    """The connection breaks once or more, at any byte."""
    await _stream(
        stage, name, rng, Habits(rng.randrange(1, 5), piece_bytes=rng.choice([999, 20_000, 400_000]))
    )


async def closing_early(stage: Stage, name: str, rng: Random) -> None:
    """Ends in the middle of a recording, and of a record."""
    await _stream(stage, name, rng, Habits(rng.randrange(2)), early=True)


async def silent(stage: Stage, name: str, rng: Random) -> None:
    """Sends nothing until it is warned, or until its session was ended and saved."""
    await _stream(stage, name, rng, Habits(silent_at=rng.random(), patient=rng.random() < 0.5))


async def reading_slowly(stage: Stage, name: str, rng: Random) -> None:
    """Takes its time with each result."""
    await _stream(stage, name, rng, Habits(read_pause_s=rng.choice([0.1, 0.4])))


async def resetting(stage: Stage, name: str, rng: Random) -> None:
    """Starts over in the middle."""
    recording = stage.streamable(rng)
    part = Part(recording, int(len(recording.data) * rng.choice(EARLY)))
    reel, choice = Reel((part, whole(recording))), stage.choice(rng, track=False)
    await Streamer(stage, name, reel, choice, Habits(rng.randrange(3)), rng).play()


async def camera(stage: Stage, name: str, rng: Random) -> None:
    """Faster than real time, with the policy drop_oldest."""
    habits = Habits(rng.randrange(2), piece_bytes=400_000)
    await Camera(stage, name, Reel((whole(stage.streamable(rng)),)), stage.choice(rng), habits, rng).play()


async def posting(stage: Stage, name: str, rng: Random) -> None:
    """POSTs pieces."""
    await Poster(stage, name, Reel((whole(stage.streamable(rng)),)), stage.choice(rng), rng).play()


async def uploading(stage: Stage, name: str, rng: Random) -> None:
    """Uploads a recording of any format, in one request or in several."""
    part = whole(rng.choice(stage.recordings))
    breaks = rng.choice([None, rng.randrange(4)])
    await Uploader(stage, name, part, stage.choice(rng), rng, breaks).play()


async def leaving(stage: Stage, name: str, rng: Random) -> None:
    """Never comes back."""
    recording = stage.streamable(rng)
    await leave_silently(stage, name, Reel((whole(recording),)), stage.choice(rng), rng)


async def looking_on(stage: Stage, name: str, rng: Random) -> None:
    """Watches somebody else's session for a while."""
    open_now = (await stage.ask("GET", "/v1/sessions")).json()["sessions"]
    if not open_now:
        return
    address = stage.stream_url(rng.choice(open_now)["session_id"]).replace("/stream?", "/watch")
    with suppress(OSError, WebSocketException):
        async with brittle(address, Break(after_received=rng.randrange(1, 500_000))) as socket:
            async for text in socket:
                stage.tally.counts["messages to onlookers"] += 1
                json.loads(text)


async def faulty(stage: Stage, name: str, rng: Random) -> None:
    """Means no good."""
    stage.tally.counts["faults sent"] += 1
    await rng.choice(FAULTS)(stage, name, rng)


Role = Callable[[Stage, str, Random], Awaitable[None]]
ROLES: dict[Role, int] = {
    to_the_end: 4,
    breaking: 6,
    closing_early: 3,
    silent: 3,
    reading_slowly: 2,
    resetting: 3,
    camera: 3,
    posting: 4,
    uploading: 5,
    leaving: 1,
    looking_on: 2,
    faulty: 4,
}
"""How often each comes."""


class Cast:
    """Clients who come and go; `pause` and `go_on` hold newcomers back."""

    def __init__(self, stage: Stage, at_once: int, seed: int) -> None:
        self._stage = stage
        self._at_once = at_once
        self._seed = seed
        self._number = 0
        self._open = asyncio.Event()
        self._over = False
        self.playing = 0

    async def play(self) -> None:
        """Until `finish`, and the last client is done."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._turns())

    def go_on(self) -> None:
        """Let newcomers in."""
        self._open.set()

    async def pause(self) -> None:
        """Let no more newcomers in, and wait for those who are there."""
        self._open.clear()
        while self.playing:
            await asyncio.sleep(0.1)

    async def finish(self) -> None:
        """Let nobody in any more, and wait for those who are there."""
        self._over = True
        self._open.set()
        while self.playing:
            await asyncio.sleep(0.1)

    async def _turns(self) -> None:
        while True:
            await self._open.wait()
            if self._over:
                return
            self._number += 1
            self.playing += 1
            await self._turn(self._number)
            self.playing -= 1

    async def _turn(self, number: int) -> None:
        name = f"client-{self._seed}-{number}"
        rng = Random(name)
        role: Role = rng.choices(list(ROLES), list(ROLES.values()))[0]
        tally = self._stage.tally
        try:
            async with asyncio.timeout(PATIENCE_S):
                await role(self._stage, name, rng)
        except Wrong as wrong:
            tally.fail(f"{name}, {role.__name__}: {wrong}")
        except TimeoutError:
            tally.fail(f"{name}, {role.__name__}: hangs, not done after {PATIENCE_S:g} s")
        except (OSError, httpx.HTTPError, WebSocketException, ValueError, KeyError) as error:
            tally.fail(f"{name}, {role.__name__}: {type(error).__name__}: {error}")
        tally.roles[role.__name__] += 1
