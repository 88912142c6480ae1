"""Running the application under uvicorn, with a graceful stop."""

import socket

import uvicorn
from fastapi import FastAPI

from service.host import SessionHost
from service.settings import Settings


class DrainingServer(uvicorn.Server):
    """Lets sessions finish before uvicorn closes their connections."""

    def __init__(self, config: uvicorn.Config, host: SessionHost) -> None:
        super().__init__(config)
        self._host = host

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain first: WebSockets get their last windows and close with 1001."""
        await self._host.drain()
        await super().shutdown(sockets)


def make_server(app: FastAPI, settings: Settings) -> DrainingServer:
    """A server ready to run.

    Compression of WebSocket messages is off: it costs more than the network it saves.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=max(1, int(settings.drain_timeout_s)),
        h11_max_incomplete_event_size=64 * 1024,
    )
    return DrainingServer(config, app.state.host)
