"""WebSocket of a session that notices when the service is silent."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from spikewatch.service.tasks import cancel_and_wait

SILENCE_LIMIT_S = 50.0
"""A connection without any frame for longer is dropped: the service pings every 20 s by default."""

CLOSE_TIMEOUT_S = 2.0
"""Longest wait for the close handshake, so that a dead connection delays a reconnect only this long."""


class MonitoredConnection(ClientConnection):
    """A connection that knows when its last frame, ping or message, arrived."""

    heard_s: float

    def process_event(self, event: Any) -> None:
        """Note the time of a frame."""
        self.heard_s = time.monotonic()
        super().process_event(event)


@asynccontextmanager
async def open_websocket(
    url: str, headers: Mapping[str, str], silence_limit_s: float
) -> AsyncIterator[MonitoredConnection]:
    """Connect, and drop the connection if no frame arrives for `silence_limit_s`.

    Raises:
        OSError, WebSocketException: there is no connection.
    """
    socket = await websockets.connect(
        url,
        compression=None,
        max_size=None,
        ping_interval=None,
        close_timeout=CLOSE_TIMEOUT_S,
        create_connection=MonitoredConnection,
        additional_headers=headers,
    )
    assert isinstance(socket, MonitoredConnection)
    watchdog = asyncio.create_task(_drop_when_silent(socket, silence_limit_s))
    try:
        async with socket:
            yield socket
    finally:
        await cancel_and_wait(watchdog)


async def _drop_when_silent(socket: MonitoredConnection, limit_s: float) -> None:
    socket.heard_s = time.monotonic()
    while True:
        silent_s = time.monotonic() - socket.heard_s
        if silent_s >= limit_s:
            with contextlib.suppress(Exception):
                socket.transport.abort()
            return
        # a client that does not read its results pauses the transport, and then no frame can arrive
        if not socket.transport.is_reading():
            socket.heard_s = time.monotonic()
        await asyncio.sleep(min(limit_s - silent_s, limit_s / 4))
