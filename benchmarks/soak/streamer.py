"""A client over the WebSocket, as docs/protocol.md has it: keeps its place, and has every window once."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from benchmarks.soak.breaking import Break, brittle
from benchmarks.soak.expected import Choice, Run, counted, text_of
from benchmarks.soak.stage import PAUSE_S, Reel, Stage, code_of
from benchmarks.soak.tally import Wrong, check_windows

BUSY = ("session_busy", "wrong_offset", "session_closed", "session_unknown")
"""Refusals of a client whose earlier connection still ends, or whose service has gone meanwhile."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How a client behaves.

    Attributes:
        breaks: how often its connection breaks.
        piece_bytes: the most that a message holds.
        send_pause_s, read_pause_s: between messages.
        silent_at: share of its bytes after which it sends nothing until it is warned; None: never.
        patient: it is silent until its session has been ended, rather than until the warning.
    """

    breaks: int = 0
    piece_bytes: int = 65_536
    send_pause_s: float = 0.0
    read_pause_s: float = 0.0
    silent_at: float | None = None
    patient: bool = False


class Streamer:
    """One session from its first byte to its last window, over as many connections as it takes."""

    policy = "block"

    def __init__(
        self, stage: Stage, session_id: str, reel: Reel, choice: Choice, habits: Habits, rng: Random
    ) -> None:
        self._stage = stage
        self._id = session_id
        self._reel = reel
        self._data = reel.data
        self._choice = choice
        self._habits = habits
        self._rng = rng
        self._breaks = habits.breaks
        silent_at = habits.silent_at
        self._silence: int | None = None if silent_at is None else int(silent_at * len(self._data))
        self._awake = asyncio.Event()
        self._wanted = reel.wanted(choice, self.policy)
        self._windows: list[str] = []
        self._next_seq = 0
        self._saved_bytes = 0
        self._flushed = asyncio.Event()
        self._totals: dict[str, Any] | None = None

    async def play(self) -> None:
        """Until all is compared.

        Raises:
            Wrong: a window is missing, doubled or different, or the service does what it must not.
        """
        counts = self._stage.tally.counts
        await self._stage.open(self._id, self._wanted)
        connections = 0
        while self._totals is None and (offset := await self._place()) is not None:
            connections += 1
            when, ended = self._next_break(), self._stage.lives.ended
            try:
                await self._converse(offset, when)
            except (OSError, WebSocketException) as error:
                restarted = self._stage.lives.ended > ended
                why = "cut by the client" if when.broken else "restart" if restarted else "unprovoked"
                self._stage.tally.errors[f"WebSocket: {type(error).__name__}, {why}"] += 1
            counts["connections cut"] += when.broken
        counts["resumes"] += max(connections - 1, 0)
        self._check(await self._stage.expected.of(self._reel.parts, self._choice))

    def _check(self, expected: Run) -> None:
        """Every window once and equal, and the same sums."""
        check_windows(self._windows, expected.windows, whole=True)
        if self._totals is not None and (sums := counted(self._totals)) != expected.totals:
            raise Wrong(f"totals are {sums}, offline {expected.totals}")
        self._stage.tally.counts["sessions compared"] += 1
        self._stage.tally.counts["windows compared"] += len(self._windows)

    def _next_break(self) -> Break:
        if not self._breaks:
            return Break()
        self._breaks -= 1
        rudely, left = self._rng.random() < 0.5, max(len(self._data), 1)
        if self._rng.random() < 0.6:
            return Break(after_sent=self._rng.randrange(1, left + 200), rudely=rudely)
        return Break(after_received=self._rng.randrange(1, 30_000), rudely=rudely)

    async def _place(self) -> int | None:
        """Where to go on: in the session as it is, resumed, or opened anew. None: it has ended, as asked."""
        answer = await self._stage.ask("GET", f"/v1/sessions/{self._id}")
        if answer.is_success:
            return int(answer.json()["accepted_bytes"])
        problem = answer.json()
        if problem.get("reason") == "client":
            await self._take_leave()
            return None
        if problem.get("resumable"):
            return await self._resume()
        if self._saved_bytes or (problem["code"] == "session_closed" and problem["reason"] != "idle_timeout"):
            raise Wrong(f"the session is gone: {problem}")
        self._stage.tally.counts["sessions begun anew, unsaved before a kill"] += 1
        await self._stage.open(self._id, self._wanted)
        return 0

    async def _take_leave(self) -> None:
        """Get what was not read before the end, or lost on the way."""
        path = f"/v1/sessions/{self._id}"
        answer = await self._stage.ask("DELETE", path, params={"seq": self._next_seq})
        if not answer.is_success:
            raise Wrong(f"the end is not told: {answer.text[:300]}")
        for window in answer.json()["windows"]:
            self._take_window(window)
        self._totals = answer.json()["totals"]
        self._stage.tally.counts["last answers lost and got again"] += 1

    async def _resume(self) -> int | None:
        answer = await self._stage.ask("POST", "/v1/sessions", json={"resume": self._id})
        if code_of(answer) == "session_exists":
            return await self._place()
        if not answer.is_success:
            raise Wrong(f"not resumed: {answer.text[:300]}")
        self._stage.tally.counts["sessions restored from a snapshot"] += 1
        accepted = int(answer.json()["accepted_bytes"])
        if accepted < self._saved_bytes:
            raise Wrong(f"resumed at byte {accepted}, though {self._saved_bytes} were saved")
        return accepted

    async def _converse(self, offset: int, when: Break) -> None:
        """One connection."""
        address = self._stage.stream_url(self._id, offset=offset, seq=self._next_seq)
        async with brittle(address, when) as socket:
            ready = json.loads(await socket.recv())
            if ready["type"] == "error":
                await self._refused(ready["code"])
                return
            if ready["accepted_bytes"] != offset:
                raise Wrong(f"asked for byte {offset}, ready at {ready['accepted_bytes']}")
            sender = asyncio.create_task(self._send(socket, offset))
            try:
                async for text in socket:
                    self._take(json.loads(text))
                    await asyncio.sleep(self._habits.read_pause_s * self._rng.random())
            finally:
                sender.cancel()
                (ended,) = await asyncio.gather(sender, return_exceptions=True)
            if isinstance(ended, Exception) and not isinstance(ended, OSError | ConnectionClosed):
                raise ended

    async def _refused(self, code: str) -> None:
        self._stage.tally.errors[f"WebSocket: {code}"] += 1
        if code not in BUSY:
            raise Wrong(f"refused with {code}")
        await asyncio.sleep(PAUSE_S)

    async def _send(self, socket: ClientConnection, offset: int) -> None:
        self._flushed.clear()
        async for message in self._messages(offset):
            await socket.send(message)
            await asyncio.sleep(self._habits.send_pause_s * self._rng.random())
        if self._rng.random() < 0.5:
            await socket.send("flush")
            await self._flushed.wait()
        await socket.send("close")

    async def _messages(self, offset: int) -> AsyncIterator[bytes | str]:
        """Bytes from an offset on in pieces of any size, and a `reset` at the end of each part."""
        silence = [] if self._silence is None else [self._silence]
        stops = sorted({*self._reel.resets, *silence, len(self._data)})
        at = offset
        for stop in stops:
            while at < stop:
                end = min(at + self._rng.randrange(1, self._habits.piece_bytes + 1), stop)
                yield self._data[at:end]
                at = end
            if at == stop == self._silence:
                self._silence = None
                self._stage.tally.counts["silences"] += 1
                await self._awake.wait()
            if at == stop and stop in self._reel.resets:
                yield "reset"

    def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "window":
                self._take_window(message)
            case "flushed":
                self._flushed.set()
            case "saved":
                self._saved_bytes = message["accepted_bytes"]
            case "idle_warning":
                self._stage.tally.counts["idle warnings"] += 1
                if not self._habits.patient:
                    self._awake.set()
            case "error":
                raise Wrong(f"the service says {message['code']}: {message['detail']}")
            case "closed":
                self._closed(message)

    def _take_window(self, window: dict[str, Any]) -> None:
        """The next one and no other."""
        if window["seq"] != self._next_seq:
            raise Wrong(f"window {window['seq']} came where {self._next_seq} was due")
        self._next_seq += 1
        self._windows.append(text_of(window))

    def _closed(self, message: dict[str, Any]) -> None:
        self._awake.set()
        reason = message["reason"]
        self._stage.tally.errors[f"closed: {reason}"] += reason != "client"
        if reason == "client":
            # `close` leaves 10 s to read what is left
            read = self._next_seq == message["totals"]["windows"]
            self._totals = message["totals"] if read else None
        elif reason not in ("idle_timeout", "shutdown"):
            raise Wrong(f"closed for {reason}: {message['detail']}")


class Camera(Streamer):
    """A camera faster than real time: results may be dropped, but every event is accounted for."""

    policy = "drop_oldest"

    def _take_window(self, window: dict[str, Any]) -> None:
        """A later one than the last."""
        if window["seq"] < self._next_seq:
            raise Wrong(f"window {window['seq']} came after {self._next_seq - 1}")
        self._next_seq = window["seq"] + 1

    def _check(self, expected: Run) -> None:
        """Events in results and events dropped are those of the recording."""
        assert self._totals is not None
        if (ours := _events(self._totals)) != (theirs := _events(expected.totals)):
            raise Wrong(f"{ours} events in results or dropped, of {theirs} that were sent")
        self._stage.tally.counts["cameras accounted for"] += 1
        self._stage.tally.counts["slices dropped by cameras"] += self._totals["dropped_slices"]


def _events(totals: Mapping[str, Any]) -> int:
    return int(totals["events"] + sum(totals["dropped_events"].values()))
