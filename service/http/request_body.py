"""Reading request bodies with limits of size and time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.requests import ClientDisconnect

from spikewatch.service.errors import ClientGone, TooLarge, TooSlow
from spikewatch.service.settings import Settings


class Patience:
    """Waits for the pieces of one body, as long as they come fast enough.

    All waiting together may take `idle_timeout_s`, and one second more for each `min_body_bytes_per_s` bytes,
    but never more than `idle_timeout_s` ahead: a body that trickles ends, and time spent computing is free.
    """

    def __init__(self, settings: Settings) -> None:
        self._most_s = self.left_s = settings.idle_timeout_s
        self._bytes_per_s = settings.min_body_bytes_per_s

    async def wait(self, coming: Awaitable[bytes | None]) -> bytes | None:
        """The next piece, None after the last.

        Raises:
            TooSlow: it took too long, by itself or with those before it.
        """
        start = time.monotonic()
        try:
            piece = await asyncio.wait_for(coming, self.left_s)
        except TimeoutError:
            raise self.over() from None
        self.came(time.monotonic() - start, len(piece or b""))
        return piece

    def came(self, waited_s: float, count: int) -> None:
        """So many bytes came, after so long a wait."""
        left_s = self.left_s - waited_s + count / self._bytes_per_s
        self.left_s = max(0.0, min(left_s, self._most_s))

    def over(self) -> TooSlow:
        """What to raise once nothing is left."""
        return TooSlow(self._complaint())

    def _complaint(self) -> str:
        return f"no bytes came for {self._most_s:g} s, or for longer fewer than {self._bytes_per_s} a second"


async def read_body(
    request: Request, limit: int, settings: Settings, on_bytes: Callable[[], None] = lambda: None
) -> bytes:
    """The whole body; refused as soon as it is known to be longer than `limit` bytes.

    Raises:
        TooLarge: it is.
        TooSlow: it came too slowly, see `Patience`.
        ClientGone: the connection was closed.
    """
    too_large = TooLarge(f"the body may have at most {limit} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body, patience = bytearray(), Patience(settings)
    chunks = request.stream()
    while True:
        try:
            chunk = await patience.wait(anext(chunks, None))
        except ClientDisconnect:
            raise ClientGone("the client went away") from None
        if chunk is None:
            break
        on_bytes()
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)
