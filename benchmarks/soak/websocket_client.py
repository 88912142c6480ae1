"""A client over the WebSocket, as docs/protocol.md has it: keeps its place, and has every window once."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from benchmarks.soak.context import RETRY_DELAY_S, Playback, SoakContext, problem_code
from benchmarks.soak.counters import Failure, check_windows
from benchmarks.soak.expected import OfflineResult, SessionConfig, canonical_window, compared_totals
from benchmarks.soak.flaky_connection import ConnectionFault, connect_flaky

RETRYABLE_CODES = ("session_busy", "wrong_offset", "session_closed", "session_unknown")
"""Refusals of a client whose earlier connection still ends, or that has lost the service meanwhile."""


@dataclass(frozen=True, slots=True)
class ClientBehaviour:
    """How a client behaves.

    Attributes:
        breaks: how often its connection breaks.
        max_message_bytes: the most that a message holds.
        send_pause_s, read_pause_s: between messages.
        pause_at: share of its bytes after which it sends nothing until it is warned; None: never.
        patient: it is silent until its session has been ended, rather than until the warning.
    """

    breaks: int = 0
    max_message_bytes: int = 65_536
    send_pause_s: float = 0.0
    read_pause_s: float = 0.0
    pause_at: float | None = None
    patient: bool = False


class WebSocketClient:
    """One session from its first byte to its last window, over as many connections as it takes."""

    policy = "block"

    def __init__(
        self,
        context: SoakContext,
        session_id: str,
        playback: Playback,
        config: SessionConfig,
        behaviour: ClientBehaviour,
        rng: Random,
    ) -> None:
        self._context = context
        self._id = session_id
        self._playback = playback
        self._data = playback.data
        self._config = config
        self._behaviour = behaviour
        self._rng = rng
        self._breaks = behaviour.breaks
        silent_at = behaviour.pause_at
        self._pause_offset: int | None = None if silent_at is None else int(silent_at * len(self._data))
        self._wake_up = asyncio.Event()
        self._session_request = playback.to_request(config, self.policy)
        self._windows: list[str] = []
        self._next_seq = 0
        self._saved_bytes = 0
        self._flushed = asyncio.Event()
        self._totals: dict[str, Any] | None = None

    async def run(self) -> None:
        """Until all is compared.

        Raises:
            Wrong: a window is missing, doubled or different, or the service does what it must not.
        """
        counts = self._context.counters.counts
        await self._context.open_session(self._id, self._session_request)
        connections = 0
        while self._totals is None and (offset := await self._find_offset()) is not None:
            connections += 1
            when, ended = self._next_fault(), self._context.service.ended_count
            try:
                await self._run_connection(offset, when)
            except (OSError, WebSocketException) as error:
                restarted = self._context.service.ended_count > ended
                why = "cut by the client" if when.broken else "restart" if restarted else "unprovoked"
                self._context.counters.errors[f"WebSocket: {type(error).__name__}, {why}"] += 1
            counts["connections cut"] += when.broken
        counts["resumes"] += max(connections - 1, 0)
        self._check_result(await self._context.expected.result_for(self._playback.parts, self._config))

    def _check_result(self, expected: OfflineResult) -> None:
        """Every window once and equal, and the same sums."""
        check_windows(self._windows, expected.windows, whole=True)
        if self._totals is not None and (sums := compared_totals(self._totals)) != expected.totals:
            raise Failure(f"totals are {sums}, offline {expected.totals}")
        self._context.counters.counts["sessions compared"] += 1
        self._context.counters.counts["windows compared"] += len(self._windows)

    def _next_fault(self) -> ConnectionFault:
        if not self._breaks:
            return ConnectionFault()
        self._breaks -= 1
        rudely, left = self._rng.random() < 0.5, max(len(self._data), 1)
        if self._rng.random() < 0.6:
            return ConnectionFault(after_sent=self._rng.randrange(1, left + 200), by_reset=rudely)
        return ConnectionFault(after_received=self._rng.randrange(1, 30_000), by_reset=rudely)

    async def _find_offset(self) -> int | None:
        """Where to go on: in the session as it is, resumed, or opened anew. None: it has ended, as asked."""
        answer = await self._context.request("GET", f"/v1/sessions/{self._id}")
        if answer.is_success:
            return int(answer.json()["accepted_bytes"])
        problem = answer.json()
        if problem.get("reason") == "client":
            await self._fetch_final_results()
            return None
        if problem.get("resumable"):
            return await self._resume()
        if self._saved_bytes or (problem["code"] == "session_closed" and problem["reason"] != "idle_timeout"):
            raise Failure(f"the session is gone: {problem}")
        self._context.counters.counts["sessions begun anew, unsaved before a kill"] += 1
        await self._context.open_session(self._id, self._session_request)
        return 0

    async def _fetch_final_results(self) -> None:
        """Get what was not read before the end, or lost on the way."""
        path = f"/v1/sessions/{self._id}"
        answer = await self._context.request("DELETE", path, params={"seq": self._next_seq})
        if not answer.is_success:
            raise Failure(f"the end is not told: {answer.text[:300]}")
        for window in answer.json()["windows"]:
            self._on_window(window)
        self._totals = answer.json()["totals"]
        self._context.counters.counts["last answers lost and got again"] += 1

    async def _resume(self) -> int | None:
        answer = await self._context.request("POST", "/v1/sessions", json={"resume": self._id})
        if problem_code(answer) == "session_exists":
            return await self._find_offset()
        if not answer.is_success:
            raise Failure(f"not resumed: {answer.text[:300]}")
        self._context.counters.counts["sessions restored from a snapshot"] += 1
        accepted = int(answer.json()["accepted_bytes"])
        if accepted < self._saved_bytes:
            raise Failure(f"resumed at byte {accepted}, though {self._saved_bytes} were saved")
        return accepted

    async def _run_connection(self, offset: int, fault: ConnectionFault) -> None:
        """One connection."""
        address = self._context.stream_url(self._id, offset=offset, seq=self._next_seq)
        async with connect_flaky(address, fault) as socket:
            ready = json.loads(await socket.recv())
            if ready["type"] == "error":
                await self._on_refused(ready["code"])
                return
            if ready["accepted_bytes"] != offset:
                raise Failure(f"asked for byte {offset}, ready at {ready['accepted_bytes']}")
            sender = asyncio.create_task(self._send(socket, offset))
            try:
                async for text in socket:
                    self._on_message(json.loads(text))
                    await asyncio.sleep(self._behaviour.read_pause_s * self._rng.random())
            finally:
                sender.cancel()
                (ended,) = await asyncio.gather(sender, return_exceptions=True)
            if isinstance(ended, Exception) and not isinstance(ended, OSError | ConnectionClosed):
                raise ended

    async def _on_refused(self, code: str) -> None:
        self._context.counters.errors[f"WebSocket: {code}"] += 1
        if code not in RETRYABLE_CODES:
            raise Failure(f"refused with {code}")
        await asyncio.sleep(RETRY_DELAY_S)

    async def _send(self, socket: ClientConnection, offset: int) -> None:
        self._flushed.clear()
        async for message in self._messages(offset):
            await socket.send(message)
            await asyncio.sleep(self._behaviour.send_pause_s * self._rng.random())
        if self._rng.random() < 0.5:
            await socket.send("flush")
            await self._flushed.wait()
        await socket.send("close")

    async def _messages(self, offset: int) -> AsyncIterator[bytes | str]:
        """Bytes from an offset on in pieces of any size, and a `reset` at the end of each part."""
        silence = [] if self._pause_offset is None else [self._pause_offset]
        stops = sorted({*self._playback.resets, *silence, len(self._data)})
        at = offset
        for stop in stops:
            while at < stop:
                end = min(at + self._rng.randrange(1, self._behaviour.max_message_bytes + 1), stop)
                yield self._data[at:end]
                at = end
            if at == stop == self._pause_offset:
                self._pause_offset = None
                self._context.counters.counts["silences"] += 1
                await self._wake_up.wait()
            if at == stop and stop in self._playback.resets:
                yield "reset"

    def _on_message(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "window":
                self._on_window(message)
            case "flushed":
                self._flushed.set()
            case "saved":
                self._saved_bytes = message["accepted_bytes"]
            case "idle_warning":
                self._context.counters.counts["idle warnings"] += 1
                if not self._behaviour.patient:
                    self._wake_up.set()
            case "error":
                raise Failure(f"the service says {message['code']}: {message['detail']}")
            case "closed":
                self._on_closed(message)

    def _on_window(self, window: dict[str, Any]) -> None:
        """The next one and no other."""
        if window["seq"] != self._next_seq:
            raise Failure(f"window {window['seq']} came where {self._next_seq} was due")
        self._next_seq += 1
        self._windows.append(canonical_window(window))

    def _on_closed(self, message: dict[str, Any]) -> None:
        self._wake_up.set()
        reason = message["reason"]
        self._context.counters.errors[f"closed: {reason}"] += reason != "client"
        if reason == "client":
            # `close` leaves 10 s to read what is left
            read = self._next_seq == message["totals"]["windows"]
            self._totals = message["totals"] if read else None
        elif reason not in ("idle_timeout", "shutdown"):
            raise Failure(f"closed for {reason}: {message['detail']}")


class CameraClient(WebSocketClient):
    """A camera faster than real time: results may be dropped, but every event is accounted for."""

    policy = "drop_oldest"

    def _on_window(self, window: dict[str, Any]) -> None:
        """A later one than the last."""
        if window["seq"] < self._next_seq:
            raise Failure(f"window {window['seq']} came after {self._next_seq - 1}")
        self._next_seq = window["seq"] + 1

    def _check_result(self, expected: OfflineResult) -> None:
        """Events in results and events dropped are those of the recording."""
        assert self._totals is not None
        if (ours := _total_events(self._totals)) != (theirs := _total_events(expected.totals)):
            raise Failure(f"{ours} events in results or dropped, of {theirs} that were sent")
        self._context.counters.counts["cameras accounted for"] += 1
        self._context.counters.counts["slices dropped by cameras"] += self._totals["dropped_slices"]


def _total_events(totals: Mapping[str, Any]) -> int:
    return int(totals["events"] + sum(totals["dropped_events"].values()))
