"""Roles of clients, their frequencies, and the limit on concurrent clients."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import httpx
from websockets.exceptions import WebSocketException

from benchmarks.soak.context import Playback, SoakContext, whole_recording
from benchmarks.soak.counters import Failure
from benchmarks.soak.expected import RecordingPrefix
from benchmarks.soak.faults import FAULTS
from benchmarks.soak.flaky_connection import ConnectionFault, connect_flaky
from benchmarks.soak.rest_client import RestClient, abandon_session
from benchmarks.soak.upload_client import UploadClient
from benchmarks.soak.websocket_client import CameraClient, ClientBehaviour, WebSocketClient

EARLY_END_SHARES = (0.31, 0.62)
CLIENT_TIMEOUT_S = 900.0
"""A client that has not come to its end by then hangs."""


async def _run_websocket_client(
    context: SoakContext, name: str, rng: Random, behaviour: ClientBehaviour, early: bool = False
) -> None:
    recording = context.random_streamable(rng)
    size = int(len(recording.data) * rng.choice(EARLY_END_SHARES)) if early else len(recording.data)
    reel = Playback((RecordingPrefix(recording, size),))
    await WebSocketClient(context, name, reel, context.random_config(rng), behaviour, rng).run()


async def to_the_end(context: SoakContext, name: str, rng: Random) -> None:
    """Plays a recording, quickly or at some pace."""
    await _run_websocket_client(context, name, rng, ClientBehaviour(send_pause_s=rng.choice([0.0, 0.0, 0.2])))


async def breaking(context: SoakContext, name: str, rng: Random) -> None:
    """The connection breaks once or more, at any byte."""
    await _run_websocket_client(
        context,
        name,
        rng,
        ClientBehaviour(rng.randrange(1, 5), max_message_bytes=rng.choice([999, 20_000, 400_000])),
    )


async def closing_early(context: SoakContext, name: str, rng: Random) -> None:
    """Ends in the middle of a recording, and of a record."""
    await _run_websocket_client(context, name, rng, ClientBehaviour(rng.randrange(2)), early=True)


async def silent(context: SoakContext, name: str, rng: Random) -> None:
    """Sends nothing until it is warned, or until its session was ended and saved."""
    await _run_websocket_client(
        context, name, rng, ClientBehaviour(pause_at=rng.random(), patient=rng.random() < 0.5)
    )


async def reading_slowly(context: SoakContext, name: str, rng: Random) -> None:
    """Takes its time with each result."""
    await _run_websocket_client(context, name, rng, ClientBehaviour(read_pause_s=rng.choice([0.1, 0.4])))


async def resetting(context: SoakContext, name: str, rng: Random) -> None:
    """Starts over in the middle."""
    recording = context.random_streamable(rng)
    part = RecordingPrefix(recording, int(len(recording.data) * rng.choice(EARLY_END_SHARES)))
    reel, choice = Playback((part, whole_recording(recording))), context.random_config(rng, track=False)
    await WebSocketClient(context, name, reel, choice, ClientBehaviour(rng.randrange(3)), rng).run()


async def camera(context: SoakContext, name: str, rng: Random) -> None:
    """Faster than real time, with the policy drop_oldest."""
    habits = ClientBehaviour(rng.randrange(2), max_message_bytes=400_000)
    await CameraClient(
        context,
        name,
        Playback((whole_recording(context.random_streamable(rng)),)),
        context.random_config(rng),
        habits,
        rng,
    ).run()


async def posting(context: SoakContext, name: str, rng: Random) -> None:
    """POSTs pieces."""
    await RestClient(
        context,
        name,
        Playback((whole_recording(context.random_streamable(rng)),)),
        context.random_config(rng),
        rng,
    ).run()


async def uploading(context: SoakContext, name: str, rng: Random) -> None:
    """Uploads a recording of any format, in one request or in several."""
    part = whole_recording(rng.choice(context.recordings))
    breaks = rng.choice([None, rng.randrange(4)])
    await UploadClient(context, name, part, context.random_config(rng), rng, breaks).run()


async def leaving(context: SoakContext, name: str, rng: Random) -> None:
    """Never comes back."""
    recording = context.random_streamable(rng)
    await abandon_session(
        context, name, Playback((whole_recording(recording),)), context.random_config(rng), rng
    )


async def looking_on(context: SoakContext, name: str, rng: Random) -> None:
    """Watches somebody else's session for a while."""
    open_now = (await context.request("GET", "/v1/sessions")).json()["sessions"]
    if not open_now:
        return
    address = context.stream_url(rng.choice(open_now)["session_id"]).replace("/stream?", "/watch")
    with suppress(OSError, WebSocketException):
        async with connect_flaky(
            address, ConnectionFault(after_received=rng.randrange(1, 500_000))
        ) as socket:
            async for text in socket:
                context.counters.counts["messages to onlookers"] += 1
                json.loads(text)


async def faulty(context: SoakContext, name: str, rng: Random) -> None:
    """Means no good."""
    context.counters.counts["faults sent"] += 1
    await rng.choice(FAULTS)(context, name, rng)


Scenario = Callable[[SoakContext, str, Random], Awaitable[None]]
SCENARIOS: dict[Scenario, int] = {
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


class ClientPool:
    """Clients who come and go; `pause` and `resume` hold newcomers back."""

    def __init__(self, context: SoakContext, concurrency: int, seed: int) -> None:
        self._context = context
        self._concurrency = concurrency
        self._seed = seed
        self._client_number = 0
        self._admitting = asyncio.Event()
        self._finished = False
        self.active = 0

    async def run(self) -> None:
        """Until `finish`, and the last client is done."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._run_slot())

    def resume(self) -> None:
        """Let newcomers in."""
        self._admitting.set()

    async def pause(self) -> None:
        """Let no more newcomers in, and wait for those who are there."""
        self._admitting.clear()
        while self.active:
            await asyncio.sleep(0.1)

    async def finish(self) -> None:
        """Let nobody in any more, and wait for those who are there."""
        self._finished = True
        self._admitting.set()
        while self.active:
            await asyncio.sleep(0.1)

    async def _run_slot(self) -> None:
        while True:
            await self._admitting.wait()
            if self._finished:
                return
            self._client_number += 1
            self.active += 1
            await self._run_client(self._client_number)
            self.active -= 1

    async def _run_client(self, number: int) -> None:
        name = f"client-{self._seed}-{number}"
        rng = Random(name)
        role: Scenario = rng.choices(list(SCENARIOS), list(SCENARIOS.values()))[0]
        tally = self._context.counters
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_S):
                await role(self._context, name, rng)
        except Failure as wrong:
            tally.add_failure(f"{name}, {role.__name__}: {wrong}")
        except TimeoutError:
            tally.add_failure(f"{name}, {role.__name__}: hangs, not done after {CLIENT_TIMEOUT_S:g} s")
        except (OSError, httpx.HTTPError, WebSocketException, ValueError, KeyError) as error:
            tally.add_failure(f"{name}, {role.__name__}: {type(error).__name__}: {error}")
        tally.scenarios[role.__name__] += 1
