"""Streaming response to an upload that is still being received."""

from contextlib import suppress

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from spikewatch.service.errors import ResultsExpired
from spikewatch.service.http.pieces import send_pieces
from spikewatch.service.uploads.upload import Upload


class UploadResponse(Response):
    """Response that sends lines while the body is still being received.

    Starlette's StreamingResponse cannot: it listens for a disconnect on the channel of the body.
    """

    media_type = "application/x-ndjson"

    def __init__(self, upload: Upload, request: Request, seq: int, timeout_s: float) -> None:
        super().__init__()
        self._upload = upload
        self._request = request
        self._seq = seq
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream the lines; stop if the client does not read within the idle timeout.

        Another request that reads the same results can make the next one expire: the response ends there.
        """
        headers = [
            (b"content-type", b"application/x-ndjson"),
            (b"location", f"{scope.get('root_path', '')}/v1/detections/{self._upload.job_id}".encode()),
        ]
        lines = self._upload.stream_lines(self._request, self._seq)
        try:
            with suppress(TimeoutError, OSError, ClientDisconnect, ResultsExpired):
                await send_pieces(send, 200, headers, lines, self._timeout_s)
        finally:
            await self._upload.detach(self._request)
