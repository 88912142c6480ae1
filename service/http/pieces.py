"""Responses sent piece by piece: a client that does not read costs one piece, not a copy of the whole."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from fastapi import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from spikewatch.service.errors import ServiceError
from spikewatch.service.tasks import run_beside

PIECE_BYTES = 64 * 1024
"""Small messages are joined up to this size, the limit of a connection's write buffer."""


class PiecesResponse(Response):
    """A response of pieces as they come.

    It breaks off, and the connection is closed, if the client disconnects, does not take a piece within
    `timeout_s`, or if `pieces` raises a ServiceError.
    """

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        timeout_s: float,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/json",
    ) -> None:
        self._pieces = pieces
        self._timeout_s = timeout_s
        self.status_code, self.media_type, self.background = status_code, media_type, None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces; stop early when the client disconnects."""
        try:
            await run_beside(self._send(send), _raise_on_disconnect(receive))
        except (TimeoutError, OSError, ClientDisconnect, ServiceError):
            return

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self._pieces:
            message = {"type": "http.response.body", "body": piece, "more_body": True}
            await asyncio.wait_for(send(message), self._timeout_s)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _raise_on_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect


def results_response(
    results: Sequence[bytes],
    rest: str,
    timeout_s: float,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    media_type: str = "application/json",
) -> PiecesResponse:
    """Return `{"windows": [...], ...}` with encoded results, and `rest`, the JSON of a non-empty object."""
    ends = (b'{"windows":[', b"]," + rest[1:].encode())
    size = sum(map(len, results)) + max(0, len(results) - 1) + sum(map(len, ends))
    headers = {**(headers or {}), "Content-Length": str(size)}
    return PiecesResponse(_join(results, *ends), timeout_s, status_code, headers, media_type)


async def _join(results: Sequence[bytes], begin: bytes, end: bytes) -> AsyncIterator[bytes]:
    def parts() -> Iterator[bytes]:
        yield begin
        for number, result in enumerate(results):
            if number:
                yield b","
            yield result
        yield end

    piece = bytearray()
    for part in parts():
        piece += part
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
