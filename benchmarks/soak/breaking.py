"""A WebSocket whose TCP connection breaks after so many bytes, wherever in a frame or a handshake that is."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection, connect


@dataclass(slots=True)
class Break:
    """When a connection breaks.

    Attributes:
        after_sent, after_received: bytes; None: never.
        rudely: by a reset, and what is under way is lost; else it is sent before the end.
        broken: it has happened.
    """

    after_sent: int | None = None
    after_received: int | None = None
    rudely: bool = True
    broken: bool = False


class Brittle:
    """A transport that ends itself."""

    def __init__(self, transport: asyncio.Transport, when: Break) -> None:
        self._transport = transport
        self._when = when
        self._left = when.after_sent

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write as much as is left."""
        if self._when.broken:
            return
        if self._left is None or len(data) < self._left:
            self._transport.write(data)
            self._left = None if self._left is None else self._left - len(data)
            return
        self._transport.write(data[: self._left])
        self.snap()

    def snap(self) -> None:
        """Break."""
        self._when.broken = True
        if self._when.rudely:
            self._transport.abort()
        else:
            self._transport.close()


class BrittleConnection(ClientConnection):
    """One that breaks as it was told."""

    def __init__(self, *args: Any, when: Break, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._when = when
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Put the brittle transport in front."""
        super().connection_made(Brittle(transport, self._when))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Take what comes before the break."""
        self._received += len(data)
        limit = self._when.after_received
        if limit is not None and self._received >= limit and not self._when.broken:
            self.transport.snap()  # type: ignore[attr-defined]
        if not self._when.broken:
            super().data_received(data)


def brittle(address: str, when: Break, **kwargs: Any) -> connect:
    """Connect, with a break to come; pings of our own would wait behind bytes that are held back."""
    return connect(
        address,
        create_connection=partial(BrittleConnection, when=when),  # type: ignore[arg-type]
        compression=None,
        max_size=None,
        ping_interval=None,
        open_timeout=60,
        close_timeout=5,
        proxy=None,
        **kwargs,
    )
