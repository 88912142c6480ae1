"""A client over POST /events: sends pieces, loses answers and breaks off bodies, and has each window once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from typing import Any

import httpx

from benchmarks.soak.context import RETRY_DELAY_S, Playback, SoakContext, problem_code
from benchmarks.soak.counters import Failure, check_windows
from benchmarks.soak.expected import SessionConfig, canonical_window, compared_totals

BREAK_PROBABILITY = 0.15
RESPONSE_TIMEOUT_S = 0.2
MAX_CHUNK_BYTES = 200_000
RETRYABLE_CODES = ("session_busy", "wrong_offset", "session_closed", "session_unknown", "draining")


class BodyAborted(Exception):
    """The client ends its body early."""


class RestClient:
    """One session over REST."""

    def __init__(
        self, context: SoakContext, session_id: str, playback: Playback, config: SessionConfig, rng: Random
    ) -> None:
        self._context = context
        self._id = session_id
        self._playback = playback
        self._data = playback.data
        self._config = config
        self._rng = rng
        self._windows: list[str] = []
        self._totals: dict[str, Any] | None = None

    @property
    def _path(self) -> str:
        return f"/v1/sessions/{self._id}"

    async def run(self) -> None:
        """Until all is compared; Wrong if something differs."""
        await self._context.open_session(self._id, self._playback.to_request(self._config))
        while self._totals is None:
            offset = await self._find_offset()
            await (self._end_session() if offset == len(self._data) else self._post(offset))
        expected = await self._context.expected.result_for(self._playback.parts, self._config)
        check_windows(self._windows, expected.windows, whole=True)
        if compared_totals(self._totals) != expected.totals:
            raise Failure(f"totals are {compared_totals(self._totals)}, offline {expected.totals}")
        self._context.counters.counts["sessions compared"] += 1
        self._context.counters.counts["windows compared"] += len(self._windows)

    async def _find_offset(self) -> int:
        """Offset of the next byte."""
        answer = await self._context.request("GET", self._path)
        if answer.is_success:
            return int(answer.json()["accepted_bytes"])
        problem = answer.json()
        if problem.get("resumable"):
            await self._context.request("POST", "/v1/sessions", json={"resume": self._id})
            self._context.counters.counts["sessions restored from a snapshot"] += 1
            return await self._find_offset()
        if problem.get("reason") == "client":
            self._context.counters.counts["last answers lost and got again"] += 1
            return len(self._data)
        self._context.counters.counts["sessions begun anew, unsaved before a kill"] += 1
        await self._context.open_session(self._id, self._playback.to_request(self._config))
        return 0

    async def _post(self, offset: int) -> None:
        """Send one piece, which may break off or whose answer may be lost."""
        piece = self._data[offset : offset + self._rng.randrange(1, MAX_CHUNK_BYTES)]
        place = {"offset": offset, "seq": len(self._windows)}
        fate = self._rng.random()
        body = self._aborted_body(piece) if fate < BREAK_PROBABILITY else piece
        sent = self._context.http.post(f"{self._path}/events", content=body, params=place)
        try:
            answer = await (
                asyncio.wait_for(sent, RESPONSE_TIMEOUT_S) if fate > 1 - BREAK_PROBABILITY else sent
            )
        except (httpx.TransportError, BodyAborted, TimeoutError) as error:
            await self._on_lost_response(error)
        else:
            await self._on_response(answer)

    async def _aborted_body(self, piece: bytes) -> AsyncIterator[bytes]:
        yield piece[: self._rng.randrange(len(piece)) or 1]
        raise BodyAborted

    async def _on_lost_response(self, error: Exception) -> None:
        provoked = isinstance(error, BodyAborted | TimeoutError)
        self._context.counters.counts["connections cut"] += provoked
        kind = "POST: " + ("cut by the client" if provoked else type(error).__name__)
        self._context.counters.errors[kind] += 1
        await asyncio.sleep(RETRY_DELAY_S)

    async def _on_response(self, answer: httpx.Response) -> None:
        """Take the windows of an answer; there are none if another request is under way."""
        if answer.is_success:
            self._add_windows(answer.json()["windows"])
            return
        self._context.counters.errors[f"POST: {problem_code(answer)}"] += 1
        if problem_code(answer) not in RETRYABLE_CODES:
            raise Failure(f"a piece was refused: {answer.text[:300]}")
        await asyncio.sleep(RETRY_DELAY_S)

    def _add_windows(self, windows: list[dict[str, Any]]) -> None:
        for window in windows:
            if window["seq"] != len(self._windows):
                raise Failure(f"window {window['seq']} came where {len(self._windows)} was due")
            self._windows.append(canonical_window(window))

    async def _end_session(self) -> None:
        """End the session and get what was lost on the way; the answer to that may be lost too."""
        ending = self._context.http.delete(self._path, params={"seq": len(self._windows)})
        try:
            answer = await (
                asyncio.wait_for(ending, RESPONSE_TIMEOUT_S)
                if self._rng.random() < BREAK_PROBABILITY
                else ending
            )
        except (httpx.TransportError, TimeoutError) as error:
            await self._on_lost_response(error)
            return
        await self._on_response(answer)
        if answer.is_success:
            self._totals = answer.json()["totals"]


async def abandon_session(
    context: SoakContext, session_id: str, playback: Playback, config: SessionConfig, rng: Random
) -> None:
    """Open a session, send something, and never come back."""
    await context.open_session(session_id, playback.to_request(config))
    with suppress(httpx.TransportError):
        size = rng.randrange(1, len(playback.data))
        await context.http.post(f"/v1/sessions/{session_id}/events", content=playback.data[:size])
