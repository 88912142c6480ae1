"""A client over POST /events: sends pieces, loses answers and breaks off bodies, and has each window once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from typing import Any

import httpx

from benchmarks.soak.expected import Choice, counted, text_of
from benchmarks.soak.stage import PAUSE_S, Reel, Stage, code_of
from benchmarks.soak.tally import Wrong, check_windows

BREAK_SHARE = 0.15
ANSWER_S = 0.2
MAX_PIECE_BYTES = 200_000
LATER = ("session_busy", "wrong_offset", "session_closed", "session_unknown", "draining")


class BrokenOff(Exception):
    """The client ends its body early."""


class Poster:
    """One session over REST."""

    def __init__(self, stage: Stage, session_id: str, reel: Reel, choice: Choice, rng: Random) -> None:
        self._stage = stage
        self._id = session_id
        self._reel = reel
        self._data = reel.data
        self._choice = choice
        self._rng = rng
        self._windows: list[str] = []
        self._totals: dict[str, Any] | None = None

    @property
    def _path(self) -> str:
        return f"/v1/sessions/{self._id}"

    async def play(self) -> None:
        """Until all is compared; Wrong if something differs."""
        await self._stage.open(self._id, self._reel.wanted(self._choice))
        while self._totals is None:
            offset = await self._place()
            await (self._end() if offset == len(self._data) else self._post(offset))
        expected = await self._stage.expected.of(self._reel.parts, self._choice)
        check_windows(self._windows, expected.windows, whole=True)
        if counted(self._totals) != expected.totals:
            raise Wrong(f"totals are {counted(self._totals)}, offline {expected.totals}")
        self._stage.tally.counts["sessions compared"] += 1
        self._stage.tally.counts["windows compared"] += len(self._windows)

    async def _place(self) -> int:
        """Offset of the next byte."""
        answer = await self._stage.ask("GET", self._path)
        if answer.is_success:
            return int(answer.json()["accepted_bytes"])
        problem = answer.json()
        if problem.get("resumable"):
            await self._stage.ask("POST", "/v1/sessions", json={"resume": self._id})
            self._stage.tally.counts["sessions restored from a snapshot"] += 1
            return await self._place()
        if problem.get("reason") == "client":
            self._stage.tally.counts["last answers lost and got again"] += 1
            return len(self._data)
        self._stage.tally.counts["sessions begun anew, unsaved before a kill"] += 1
        await self._stage.open(self._id, self._reel.wanted(self._choice))
        return 0

    async def _post(self, offset: int) -> None:
        """Send one piece, which may break off or whose answer may be lost."""
        piece = self._data[offset : offset + self._rng.randrange(1, MAX_PIECE_BYTES)]
        place = {"offset": offset, "seq": len(self._windows)}
        fate = self._rng.random()
        body = self._broken(piece) if fate < BREAK_SHARE else piece
        sent = self._stage.http.post(f"{self._path}/events", content=body, params=place)
        try:
            answer = await (asyncio.wait_for(sent, ANSWER_S) if fate > 1 - BREAK_SHARE else sent)
        except (httpx.TransportError, BrokenOff, TimeoutError) as error:
            await self._lost(error)
        else:
            await self._take(answer)

    async def _broken(self, piece: bytes) -> AsyncIterator[bytes]:
        yield piece[: self._rng.randrange(len(piece)) or 1]
        raise BrokenOff

    async def _lost(self, error: Exception) -> None:
        provoked = isinstance(error, BrokenOff | TimeoutError)
        self._stage.tally.counts["connections cut"] += provoked
        kind = "POST: " + ("cut by the client" if provoked else type(error).__name__)
        self._stage.tally.errors[kind] += 1
        await asyncio.sleep(PAUSE_S)

    async def _take(self, answer: httpx.Response) -> None:
        """Take the windows of an answer; there are none if another request is under way."""
        if answer.is_success:
            self._add(answer.json()["windows"])
            return
        self._stage.tally.errors[f"POST: {code_of(answer)}"] += 1
        if code_of(answer) not in LATER:
            raise Wrong(f"a piece was refused: {answer.text[:300]}")
        await asyncio.sleep(PAUSE_S)

    def _add(self, windows: list[dict[str, Any]]) -> None:
        for window in windows:
            if window["seq"] != len(self._windows):
                raise Wrong(f"window {window['seq']} came where {len(self._windows)} was due")
            self._windows.append(text_of(window))

    async def _end(self) -> None:
        """End the session and get what was lost on the way; the answer to that may be lost too."""
        ending = self._stage.http.delete(self._path, params={"seq": len(self._windows)})
        try:
            answer = await (
                asyncio.wait_for(ending, ANSWER_S) if self._rng.random() < BREAK_SHARE else ending
            )
        except (httpx.TransportError, TimeoutError) as error:
            await self._lost(error)
            return
        await self._take(answer)
        if answer.is_success:
            self._totals = answer.json()["totals"]


async def leave_silently(stage: Stage, session_id: str, reel: Reel, choice: Choice, rng: Random) -> None:
    """Open a session, send something, and never come back."""
    await stage.open(session_id, reel.wanted(choice))
    with suppress(httpx.TransportError):
        size = rng.randrange(1, len(reel.data))
        await stage.http.post(f"/v1/sessions/{session_id}/events", content=reel.data[:size])
