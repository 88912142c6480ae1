"""A WebSocket whose TCP connection breaks after so many bytes, wherever in a frame or a handshake that is."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection, connect


@dataclass(slots=True)
class ConnectionFault:
    """When a connection breaks.

    Attributes:
        after_sent, after_received: bytes; None: never.
        by_reset: break by a TCP reset, which loses data in flight; else that is sent before the end.
        broken: it has happened.
    """

    after_sent: int | None = None
    after_received: int | None = None
    by_reset: bool = True
    broken: bool = False


class FlakyTransport:
    """A transport that ends itself."""

    def __init__(self, transport: asyncio.Transport, fault: ConnectionFault) -> None:
        self._transport = transport
        self._fault = fault
        self._remaining_bytes = fault.after_sent

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write as much as is left."""
        if self._fault.broken:
            return
        if self._remaining_bytes is None or len(data) < self._remaining_bytes:
            self._transport.write(data)
            self._remaining_bytes = (
                None if self._remaining_bytes is None else self._remaining_bytes - len(data)
            )
            return
        self._transport.write(data[: self._remaining_bytes])
        self.break_connection()

    def break_connection(self) -> None:
        """Break."""
        self._fault.broken = True
        if self._fault.by_reset:
            self._transport.abort()
        else:
            self._transport.close()


class FlakyConnection(ClientConnection):
    """One that breaks as it was told."""

    def __init__(self, *args: Any, fault: ConnectionFault, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fault = fault
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Put the brittle transport in front."""
        super().connection_made(FlakyTransport(transport, self._fault))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Take what comes before the break."""
        self._received += len(data)
        limit = self._fault.after_received
        if limit is not None and self._received >= limit and not self._fault.broken:
            self.transport.break_connection()  # type: ignore[attr-defined]
        if not self._fault.broken:
            super().data_received(data)


def connect_flaky(address: str, fault: ConnectionFault, **kwargs: Any) -> connect:
    """Connect, with a break to come; pings of our own would wait behind bytes that are held back."""
    return connect(
        address,
        create_connection=partial(FlakyConnection, fault=fault),  # type: ignore[arg-type]
        compression=None,
        max_size=None,
        ping_interval=None,
        open_timeout=60,
        close_timeout=5,
        proxy=None,
        **kwargs,
    )
