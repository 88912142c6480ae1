"""Reading request bodies with a limit."""

from fastapi import Request

from service.errors import TooLarge


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body; refused as soon as it is known to be longer than `limit` bytes.

    Raises:
        TooLarge: it is.
    """
    too_large = TooLarge(f"the body may have at most {limit} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)
