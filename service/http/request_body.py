"""Reading request bodies with limits of size and time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.requests import ClientDisconnect

from spikewatch.service.errors import ClientDisconnected, PayloadTooLarge, RequestTimeout
from spikewatch.service.settings import Settings


class BodyDeadline:
    """Waits for the pieces of one body, as long as they come fast enough.

    All waiting together may take `idle_timeout_s`, and one second more for each `min_body_bytes_per_s` bytes,
    but never more than `idle_timeout_s` ahead: a body that trickles ends, and time spent computing is free.
    """

    def __init__(self, settings: Settings) -> None:
        self._limit_s = self.remaining_s = settings.idle_timeout_s
        self._min_bytes_per_s = settings.min_body_bytes_per_s

    async def wait(self, next_chunk: Awaitable[bytes | None]) -> bytes | None:
        """The next piece, None after the last.

        Raises:
            RequestTimeout: it took too long, by itself or with those before it.
        """
        start = time.monotonic()
        try:
            piece = await asyncio.wait_for(next_chunk, self.remaining_s)
        except TimeoutError:
            raise self.timeout_error() from None
        self.record_progress(time.monotonic() - start, len(piece or b""))
        return piece

    def record_progress(self, waited_s: float, count: int) -> None:
        """So many bytes came, after so long a wait."""
        left_s = self.remaining_s - waited_s + count / self._min_bytes_per_s
        self.remaining_s = max(0.0, min(left_s, self._limit_s))

    def timeout_error(self) -> RequestTimeout:
        """What to raise once nothing is left."""
        return RequestTimeout(self._timeout_message())

    def _timeout_message(self) -> str:
        rate = f"fewer than {self._min_bytes_per_s} a second"
        return f"no bytes came for {self._limit_s:g} s, or for longer {rate}"


async def read_body(
    request: Request, limit: int, settings: Settings, on_bytes: Callable[[], None] = lambda: None
) -> bytes:
    """The whole body; refused as soon as it is known to be longer than `limit` bytes.

    Raises:
        PayloadTooLarge: it is.
        RequestTimeout: it came too slowly, see `Patience`.
        ClientDisconnected: the connection was closed.
    """
    too_large = PayloadTooLarge(f"the body may have at most {limit} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body, patience = bytearray(), BodyDeadline(settings)
    chunks = request.stream()
    while True:
        try:
            chunk = await patience.wait(anext(chunks, None))
        except ClientDisconnect:
            raise ClientDisconnected("the client went away") from None
        if chunk is None:
            break
        on_bytes()
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)
