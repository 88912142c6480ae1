"""Clients that upload whole recordings, in one request or in several that break."""

import asyncio
import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import httpx

from benchmarks.soak.context import CAPACITY_CODES, RETRY_DELAY_S, SoakContext, problem_code
from benchmarks.soak.counters import Failure, check_windows
from benchmarks.soak.expected import RecordingPrefix, SessionConfig, canonical_window, compared_totals
from benchmarks.soak.rest_client import BodyAborted

RETRYABLE_CODES = (
    *CAPACITY_CODES,
    "client_gone",
    "too_slow",
    "session_closed",
    "job_unknown",
    "wrong_offset",
)
"""Answers that a restart, a full house or a break explains: the upload is begun or continued again."""
CHUNK_BYTES = 32_768


class UploadClient:
    """One recording. With `breaks` it is sent under a job id, and its connection breaks so often."""

    def __init__(
        self,
        context: SoakContext,
        job_id: str,
        prefix: RecordingPrefix,
        config: SessionConfig,
        rng: Random,
        breaks: int | None,
    ) -> None:
        self._context = context
        self._job_id = job_id if breaks is not None else None
        self._breaks = breaks or 0
        self._prefix = prefix
        self._rng = rng
        self._query = prefix.recording.sensor_parameters | config.to_request()
        if prefix.recording.format and prefix.recording.sensor_size is not None:
            self._query["format"] = prefix.recording.format
        self._config = config
        self._windows: list[str] = []
        self._summary: dict[str, Any] | None = None

    async def run(self) -> None:
        """Until all is compared; Wrong if something differs."""
        counts = self._context.counters.counts
        counts["uploads"] += 1
        while self._summary is None:
            if self._job_id is None:
                self._windows.clear()
            try:
                await self._upload(await self._find_position())
            except (httpx.TransportError, BodyAborted) as error:
                provoked = isinstance(error, BodyAborted)
                counts["connections cut"] += provoked
                kind = "cut by the client" if provoked else type(error).__name__
                self._context.counters.errors[f"upload: {kind}"] += 1
                await asyncio.sleep(RETRY_DELAY_S)
        expected = await self._context.expected.result_for((self._prefix,), self._config)
        check_windows(self._windows, expected.windows, whole=True)
        if compared_totals(self._summary) != expected.totals:
            raise Failure(f"the summary has {compared_totals(self._summary)}, offline {expected.totals}")
        counts["uploads compared"] += 1
        counts["windows compared"] += len(self._windows)

    async def _find_position(self) -> dict[str, Any]:
        """Where to go on."""
        if self._job_id is None:
            return {}
        answer = await self._context.request("GET", f"/v1/detections/{self._job_id}")
        place = {"job_id": self._job_id, "length": len(self._prefix.data), "seq": len(self._windows)}
        if problem_code(answer) == "job_unknown":
            return place | {"offset": 0}
        job = answer.json()
        if job["state"] == "failed":
            await self._delete_upload(job)
            return place | {"offset": 0}
        return place | {"offset": job["accepted_bytes"]}

    async def _delete_upload(self, job: dict[str, Any]) -> None:
        """Drop an upload that broke too often; one that was refused must not be there."""
        if job["error"]["code"] in CAPACITY_CODES and not job["windows"]:
            raise Failure(f"an upload that was refused stands in its own way: {job['error']}")
        await self._on_failure(job["error"])
        await self._context.request("DELETE", f"/v1/detections/{self._job_id}")

    async def _on_failure(self, problem: dict[str, Any]) -> None:
        """Wait a little, if the reason is no fault."""
        self._context.counters.errors[f"upload: {problem['code']}"] += 1
        if problem["code"] not in RETRYABLE_CODES:
            raise Failure(f"the upload failed: {problem}")
        await asyncio.sleep(RETRY_DELAY_S)

    async def _upload(self, place: dict[str, Any]) -> None:
        offset = place.get("offset", 0)
        breaks = self._breaks > 0
        self._breaks -= breaks
        sent, read = (1 << 60, 1 << 60)
        if breaks and self._rng.random() < 0.7:
            sent = self._rng.randrange(1, max(len(self._prefix.data) - offset, 2))
        elif breaks:
            read = self._rng.randrange(1, 20)
        query = self._query | place
        body = self._body_chunks(offset, sent)
        async with self._context.http.stream("POST", "/v1/detections", params=query, content=body) as answer:
            if not answer.is_success:
                await answer.aread()
                await self._on_failure(answer.json())
                return
            async for line in answer.aiter_lines():
                await self._on_line(json.loads(line))
                read -= 1
                if not read:
                    raise BodyAborted

    async def _body_chunks(self, offset: int, limit: int) -> AsyncIterator[bytes]:
        data = self._prefix.data
        for at in range(offset, len(data), CHUNK_BYTES):
            left = limit - (at - offset)
            if left < CHUNK_BYTES:
                yield data[at : at + left]
                raise BodyAborted
            yield data[at : at + CHUNK_BYTES]

    async def _on_line(self, line: dict[str, Any]) -> None:
        if "summary" in line:
            self._summary = line["summary"]
        elif "error" in line:
            await self._on_failure(line["error"])
        elif "seq" in line:
            if line["seq"] != len(self._windows):
                raise Failure(f"window {line['seq']} came where {len(self._windows)} was due")
            self._windows.append(canonical_window(line))
