"""Responses sent piece by piece: a client that does not read costs one piece, not a copy of the whole."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from fastapi import Response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

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
            sending = send_pieces(send, self.status_code, self.raw_headers, self._pieces, self._timeout_s)
            await run_beside(sending, _raise_on_disconnect(receive))
        except (TimeoutError, OSError, ClientDisconnect, ServiceError):
            return


async def send_pieces(
    send: Send,
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    pieces: AsyncIterator[bytes],
    timeout_s: float,
) -> None:
    """Send a response. Raises TimeoutError if the client does not take a piece within `timeout_s`."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    async for piece in pieces:
        await asyncio.wait_for(
            send({"type": "http.response.body", "body": piece, "more_body": True}), timeout_s
        )
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _raise_on_disconnect(receive: Receive) -> None:
    await wait_for_disconnect(receive)
    raise ClientDisconnect


async def wait_for_disconnect(receive: Receive) -> Message:
    """Return the disconnect message of a request or WebSocket; messages before it are dropped."""
    while not (message := await receive())["type"].endswith(".disconnect"):
        pass
    return message


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
