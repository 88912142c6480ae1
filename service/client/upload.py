"""Upload of a recording in parts: resumed by offset and seq after a broken connection."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Self

import httpx

from spikewatch.service.client.messages import Message
from spikewatch.service.client.problems import error_from_problem, error_from_response
from spikewatch.service.client.retry import RetryBudget, RetryLater
from spikewatch.service.client.session import RETRYABLE_STATUS, STATE_TIMEOUT_S, request
from spikewatch.service.errors import JobNotFound

PART_BYTES = 4 << 20
"""Bytes of one request. Results are read after each part, so that unread ones never throttle the upload."""

UploadData = str | PathLike[str] | bytes


class AsyncClientUpload:
    """One upload: an asynchronous iterator over its windows, each once.

    Attributes:
        job_id: its id.
        summary: the last line of the response, None before the end.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        recording: UploadData,
        job_id: str | None,
        options: Mapping[str, Any],
        reconnect_s: float,
    ) -> None:
        self.job_id = job_id or uuid.uuid4().hex
        self.summary: Mapping[str, Any] | None = None
        self._http, self._url, self._recording = http, f"{url}/v1/detections", recording
        self._options, self._retry = options, RetryBudget(reconnect_s)
        self._length = len(recording) if isinstance(recording, bytes) else Path(recording).stat().st_size
        self._offset = self._next_seq = 0
        self._windows = self._iterate()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """Return the next window.

        Raises:
            ServiceError, IngestError: the service rejected the recording, or has no room.
            ConnectionError: the connection could not be restored in time.
        """
        return await anext(self._windows)

    async def cancel(self) -> None:
        """End the upload and delete its results at the service."""
        await request(self._http, "DELETE", f"{self._url}/{self.job_id}")

    async def _iterate(self) -> AsyncIterator[Message]:
        while self.summary is None:
            try:
                async for window in self._send_part():
                    yield window
            except (httpx.TransportError, RetryLater) as error:
                reason = str(error) or type(error).__name__
                self._offset = await self._retry.retry(self._find_offset, self._url, reason)
                self._retry.stop()

    async def _send_part(self) -> AsyncIterator[Message]:
        """Send one part; yield the windows of its response."""
        where: dict[str, Any] = {
            "job_id": self.job_id,
            "offset": self._offset,
            "seq": self._next_seq,
            "length": self._length,
        }
        part = await asyncio.to_thread(self._read_part)
        async with self._http.stream(
            "POST", self._url, params={**self._options, **where}, content=part
        ) as got:
            if got.is_error:
                await got.aread()
                problem = error_from_response(got)
                if got.status_code in RETRYABLE_STATUS and self._offset:
                    raise RetryLater(str(problem)) from problem
                raise problem
            async for line in got.aiter_lines():
                self._retry.reset()
                if (window := self._on_line(json.loads(line))) is not None:
                    yield window

    def _read_part(self) -> bytes:
        if isinstance(self._recording, bytes):
            return self._recording[self._offset : self._offset + PART_BYTES]
        with Path(self._recording).open("rb") as file:
            file.seek(self._offset)
            return file.read(PART_BYTES)

    def _on_line(self, line: Mapping[str, Any]) -> Message | None:
        """Note one line of a response; return it if it is a window that has not been seen."""
        if "summary" in line:
            self.summary = line["summary"]
        elif "error" in line:
            raise error_from_problem(line["error"])
        elif "seq" not in line:
            self._offset = int(line["accepted_bytes"])
        elif line["seq"] >= self._next_seq:
            self._next_seq = line["seq"] + 1
            return line
        return None

    async def _find_offset(self) -> int:
        """Return the offset of the next byte.

        Raises:
            RetryLater: the service does not respond.
            JobNotFound: the upload is lost.
        """
        response = await request(self._http, "GET", f"{self._url}/{self.job_id}", timeout=STATE_TIMEOUT_S)
        if response.status_code == 404 and self._next_seq == 0:
            return 0  # the first request never arrived, or was rejected for lack of room
        if response.status_code == 404:
            raise JobNotFound(f"{self._url}: upload {self.job_id} is lost after {self._next_seq} windows")
        if response.is_error:
            raise error_from_response(response)
        return int(response.json()["accepted_bytes"])
