"""Reading request bodies with a limit."""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.errors import ClientGone, TooLarge, TooSlow


async def read_body(request: Request, limit: int, timeout_s: float) -> bytes:
    """The whole body; refused as soon as it is known to be longer than `limit` bytes.

    Raises:
        TooLarge: it is.
        TooSlow: nothing came for `timeout_s`.
        ClientGone: the connection was closed.
    """
    too_large = TooLarge(f"the body may have at most {limit} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = bytearray()
    chunks = request.stream()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(chunks, None), timeout_s)
        except TimeoutError:
            raise TooSlow(f"no bytes came for {timeout_s:g} s") from None
        except ClientDisconnect:
            raise ClientGone("the client went away") from None
        if chunk is None:
            break
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)
