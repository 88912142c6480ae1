"""The right to feed a session."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from spikewatch.service.errors import SessionBusy
from spikewatch.service.sessions.activity import ActivityTracker
from spikewatch.service.sessions.lifecycle import Lifecycle

DISPLACE_TIMEOUT_S = 5.0
"""How long a client that has reconnected waits for its previous connection to release the session."""


class FeedLease:
    """The right to feed one session: of one request or WebSocket at a time. Lives on the event loop.

    Attributes:
        abandoned: the client of the holder has disconnected, so the lease will be released at once.
    """

    def __init__(self, session_id: str, lifecycle: Lifecycle, activity: ActivityTracker) -> None:
        self._session_id = session_id
        self._lifecycle = lifecycle
        self.abandoned = False
        self._activity = activity
        self._holder: asyncio.Event | None = None
        """Set once the holder must release the lease."""
        self._waiter: asyncio.Event | None = None
        """Set once the newest client that waits may look again."""
        self.suspended = asyncio.Event()
        """Set while the session takes no bytes, because it moves to another worker."""
        self._resumed = asyncio.Event()
        self._stopped = asyncio.Event()
        """Set once the holder takes no more bytes of a suspended session."""

    @property
    def held(self) -> bool:
        """True while a request or a WebSocket feeds the session."""
        return self._holder is not None

    @property
    def displaced(self) -> asyncio.Event:
        """The event that is set once the present holder must release the lease."""
        return self._holder or asyncio.Event()

    def check_available(self) -> None:
        """Raise SessionBusy if the lease is held, or the session's error if the session is closed."""
        self._lifecycle.check_open()
        if self.suspended.is_set():
            raise SessionBusy(f"session {self._session_id} is being moved to another worker")
        if self.held:
            raise SessionBusy(f"session {self._session_id} is fed by another request")

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Hold the lease while the block runs; raises as `check_available` does."""
        self.check_available()
        self._holder, self._waiter, self.abandoned = asyncio.Event(), None, False
        self._activity.record_client_activity()
        try:
            yield
        finally:
            self._holder = None
            self._stopped.set()
            if self._waiter is not None:
                self._waiter.set()
            self._activity.record_client_activity()

    async def take_over(self) -> None:
        """Ask the holder to release the lease, and wait for that up to DISPLACE_TIMEOUT_S.

        Used when the holder's connection is dead and the service has not noticed.

        Raises:
            SessionBusy: a later request of the client wants the lease too, or has it already.
        """
        if self._holder is None:
            return
        if self._waiter is not None:
            self._waiter.set()
        self._waiter = released = asyncio.Event()
        self._holder.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(released.wait(), DISPLACE_TIMEOUT_S)
        if self._waiter is not released:
            raise SessionBusy(f"session {self._session_id} goes on over another connection")
        self._waiter = None

    @asynccontextmanager
    async def suspend(self) -> AsyncIterator[None]:
        """Take no bytes while the block runs: a WebSocket stops receiving, a request is completed first.

        Raises:
            SessionBusy: the session is suspended already, or its feeder does not stop in time.
        """
        if self.suspended.is_set():
            raise SessionBusy(f"session {self._session_id} is being moved already")
        self._stopped, self._resumed = asyncio.Event(), asyncio.Event()
        self.suspended.set()
        try:
            with suppress(TimeoutError):
                if self.held:
                    await asyncio.wait_for(self._stopped.wait(), DISPLACE_TIMEOUT_S)
            if self.held and not self._stopped.is_set():
                raise SessionBusy(f"the feeder of session {self._session_id} did not stop in time")
            yield
        finally:
            self.suspended.clear()
            self._resumed.set()

    async def stop_while_suspended(self) -> None:
        """Called by a holder that takes no more bytes; wait until the session has moved, or will not."""
        self._stopped.set()
        await self._resumed.wait()
