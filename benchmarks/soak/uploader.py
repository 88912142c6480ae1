"""Clients that upload whole recordings, in one request or in several that break."""

import asyncio
import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import httpx

from benchmarks.soak.expected import Choice, Part, counted, text_of
from benchmarks.soak.poster import BrokenOff
from benchmarks.soak.stage import FULL, PAUSE_S, Stage, code_of
from benchmarks.soak.tally import Wrong, check_windows

AGAIN = (*FULL, "client_gone", "too_slow", "session_closed", "job_unknown", "wrong_offset")
"""Answers that a restart, a full house or a break explains: the upload is begun or continued again."""
PIECE_BYTES = 32_768


class Uploader:
    """One recording. With `breaks` it is sent under a job id, and its connection breaks so often."""

    def __init__(
        self, stage: Stage, job_id: str, part: Part, choice: Choice, rng: Random, breaks: int | None
    ) -> None:
        self._stage = stage
        self._job = job_id if breaks is not None else None
        self._breaks = breaks or 0
        self._part = part
        self._rng = rng
        self._query = part.recording.sensor | choice.wanted()
        if part.recording.format and part.recording.size is not None:
            self._query["format"] = part.recording.format
        self._choice = choice
        self._windows: list[str] = []
        self._summary: dict[str, Any] | None = None

    async def play(self) -> None:
        """Until all is compared; Wrong if something differs."""
        counts = self._stage.tally.counts
        counts["uploads"] += 1
        while self._summary is None:
            if self._job is None:
                self._windows.clear()
            try:
                await self._request(await self._place())
            except (httpx.TransportError, BrokenOff) as error:
                provoked = isinstance(error, BrokenOff)
                counts["connections cut"] += provoked
                kind = "cut by the client" if provoked else type(error).__name__
                self._stage.tally.errors[f"upload: {kind}"] += 1
                await asyncio.sleep(PAUSE_S)
        expected = await self._stage.expected.of((self._part,), self._choice)
        check_windows(self._windows, expected.windows, whole=True)
        if counted(self._summary) != expected.totals:
            raise Wrong(f"the summary has {counted(self._summary)}, offline {expected.totals}")
        counts["uploads compared"] += 1
        counts["windows compared"] += len(self._windows)

    async def _place(self) -> dict[str, Any]:
        """Where to go on."""
        if self._job is None:
            return {}
        answer = await self._stage.ask("GET", f"/v1/detections/{self._job}")
        place = {"job_id": self._job, "length": len(self._part.data), "seq": len(self._windows)}
        if code_of(answer) == "job_unknown":
            return place | {"offset": 0}
        job = answer.json()
        if job["state"] == "failed":
            await self._forget(job)
            return place | {"offset": 0}
        return place | {"offset": job["accepted_bytes"]}

    async def _forget(self, job: dict[str, Any]) -> None:
        """Drop an upload that broke too often; one that was refused must not be there."""
        if job["error"]["code"] in FULL and not job["windows"]:
            raise Wrong(f"an upload that was refused stands in its own way: {job['error']}")
        await self._failed(job["error"])
        await self._stage.ask("DELETE", f"/v1/detections/{self._job}")

    async def _failed(self, problem: dict[str, Any]) -> None:
        """Wait a little, if the reason is no fault."""
        self._stage.tally.errors[f"upload: {problem['code']}"] += 1
        if problem["code"] not in AGAIN:
            raise Wrong(f"the upload failed: {problem}")
        await asyncio.sleep(PAUSE_S)

    async def _request(self, place: dict[str, Any]) -> None:
        offset = place.get("offset", 0)
        breaks = self._breaks > 0
        self._breaks -= breaks
        sent, read = (1 << 60, 1 << 60)
        if breaks and self._rng.random() < 0.7:
            sent = self._rng.randrange(1, max(len(self._part.data) - offset, 2))
        elif breaks:
            read = self._rng.randrange(1, 20)
        query = self._query | place
        body = self._body(offset, sent)
        async with self._stage.http.stream("POST", "/v1/detections", params=query, content=body) as answer:
            if not answer.is_success:
                await answer.aread()
                await self._failed(answer.json())
                return
            async for line in answer.aiter_lines():
                await self._take(json.loads(line))
                read -= 1
                if not read:
                    raise BrokenOff

    async def _body(self, offset: int, limit: int) -> AsyncIterator[bytes]:
        data = self._part.data
        for at in range(offset, len(data), PIECE_BYTES):
            left = limit - (at - offset)
            if left < PIECE_BYTES:
                yield data[at : at + left]
                raise BrokenOff
            yield data[at : at + PIECE_BYTES]

    async def _take(self, line: dict[str, Any]) -> None:
        if "summary" in line:
            self._summary = line["summary"]
        elif "error" in line:
            await self._failed(line["error"])
        elif "seq" in line:
            if line["seq"] != len(self._windows):
                raise Wrong(f"window {line['seq']} came where {len(self._windows)} was due")
            self._windows.append(text_of(line))
