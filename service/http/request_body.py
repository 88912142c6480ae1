"""Reading request bodies with limits of size and time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.requests import ClientDisconnect

from spikewatch.service.errors import ClientDisconnected, PayloadTooLarge, RequestTimeout
from spikewatch.service.settings import Settings


class BodyDeadline:
    """Time limit for the chunks of one body.

    All waits together may take `idle_timeout_s`, and one second more for each `min_body_bytes_per_s` bytes,
    but never more than `idle_timeout_s` ahead. So a trickling body is rejected, and computing time is free.
    """

    def __init__(self, settings: Settings) -> None:
        self._limit_s = self._remaining_s = settings.idle_timeout_s
        self._min_bytes_per_s = settings.min_body_bytes_per_s

    async def wait(self, next_chunk: Awaitable[bytes | None]) -> bytes | None:
        """Return the next chunk, None after the last.

        Raises:
            RequestTimeout: this wait, or all waits together, took too long.
        """
        start_s = time.monotonic()
        try:
            chunk = await asyncio.wait_for(next_chunk, self._remaining_s)
        except TimeoutError:
            raise RequestTimeout(
                f"got no bytes for {self._limit_s:g} s, or fewer than {self._min_bytes_per_s} a second"
            ) from None
        left_s = self._remaining_s - (time.monotonic() - start_s) + len(chunk or b"") / self._min_bytes_per_s
        self._remaining_s = max(0.0, min(left_s, self._limit_s))
        return chunk


async def read_body(
    request: Request, limit: int, settings: Settings, on_bytes: Callable[[], None] = lambda: None
) -> bytes:
    """Return the whole body.

    Raises:
        PayloadTooLarge: the body is longer than `limit` bytes; raised before all of it is read.
        RequestTimeout: the body came too slowly, see `BodyDeadline`.
        ClientDisconnected: the client disconnected.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise PayloadTooLarge(f"got a body of {declared} bytes, expected at most {limit}")
    body, deadline, chunks = bytearray(), BodyDeadline(settings), request.stream()
    try:
        while (chunk := await deadline.wait(anext(chunks, None))) is not None:
            on_bytes()
            body += chunk
            if len(body) > limit:
                raise PayloadTooLarge(f"got a body of more than {limit} bytes, expected at most {limit}")
    except ClientDisconnect:
        raise ClientDisconnected(f"the client disconnected after {len(body)} bytes") from None
    return bytes(body)
