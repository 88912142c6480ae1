"""The uvicorn server, with graceful shutdown of sessions."""

import logging
import socket
from collections.abc import Callable
from functools import partial

import uvicorn
from fastapi import FastAPI

from spikewatch.service.auth.access import is_loopback
from spikewatch.service.http.connection_limits import ConnectionLimits
from spikewatch.service.http.http_protocol import LimitedHttpProtocol
from spikewatch.service.http.websocket_protocol import LimitedWebSocketProtocol
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.session_manager.shutdown import drain_sessions
from spikewatch.service.settings import Settings

log = logging.getLogger("spikewatch.server")


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains sessions before it closes their connections."""

    def __init__(
        self, config: uvicorn.Config, manager: SessionManager, on_started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._manager = manager
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then report it. Raises OSError if another process listens on the port by now."""
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain sessions, then stop. WebSockets receive their last windows and close with 1001."""
        await drain_sessions(self._manager)
        await super().shutdown(sockets)
        if self.force_exit:  # uvicorn skips this on a forced exit, and spooled uploads would stay on disk
            await self.lifespan.shutdown()


def make_server(
    app: FastAPI, settings: Settings, on_started: Callable[[], None] = lambda: None
) -> DrainingServer:
    """Return a server that is ready to run, and calls `on_started` once it listens.

    WebSocket compression is off, because it costs more time than the smaller messages save.
    """
    host: SessionManager = app.state.manager
    if not app.state.authenticator.key_required and not is_loopback(settings.host):
        log.warning("no API keys are set, so everyone who can reach %s can use this service", settings.host)
    limits = ConnectionLimits(
        max_connections=settings.max_connections,
        header_bytes=settings.max_header_bytes,
        header_timeout_s=settings.header_timeout_s,
        unread_timeout_s=settings.idle_timeout_s,
        on_refused=lambda code: host.metrics.refused.labels(code).inc(),
        on_closed=lambda bound: host.metrics.bounds_met.labels(bound).inc(),
    )
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        http=partial(LimitedHttpProtocol, limits=limits),  # type: ignore[arg-type]
        ws=partial(LimitedWebSocketProtocol, limits=limits),  # type: ignore[arg-type]
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=settings.ping_timeout_s,
        ws_ping_timeout=settings.ping_timeout_s,
        timeout_graceful_shutdown=max(1, int(settings.drain_timeout_s)),
        server_header=False,
        root_path=settings.root_path,
    )
    return DrainingServer(config, host, on_started)
