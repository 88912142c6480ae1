"""Capacity for the session of an upload: checked before it is spooled, and awaited after that.

No slot is held while bytes arrive, so that a slow upload does not block a session.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from spikewatch.service.auth.principal import Principal
from spikewatch.service.errors import InsufficientModelMemory, TooManyKeySessions, TooManySessions
from spikewatch.service.model_catalog import ModelEntry
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.session import Session

ADMISSION_TIMEOUT_S = 30.0
"""How long a complete upload waits for a slot."""

ADMISSION_POLL_S = 0.25


class SessionAdmission:
    """Admission of a session of one model, for one client. Lives on the event loop."""

    def __init__(self, manager: SessionManager, entry: ModelEntry, client: Principal) -> None:
        self._manager = manager
        self._entry = entry
        self._client = client

    def check_capacity(self) -> None:
        """Raise the errors of `SessionManager.create` that are known before the model is loaded.

        Raises:
            Draining, TooManySessions, TooManyKeySessions, InsufficientModelMemory
        """
        self._manager.check_capacity(self._client)
        self._manager.models.check_capacity(self._entry)

    async def create_when_available(self, create: Callable[[], Awaitable[Session]]) -> Session:
        """Return the session from `create`; retry for `ADMISSION_TIMEOUT_S` while there is no capacity."""
        deadline_s = time.monotonic() + ADMISSION_TIMEOUT_S
        while True:
            try:
                self.check_capacity()
                return await create()
            except (TooManySessions, TooManyKeySessions, InsufficientModelMemory):
                if time.monotonic() > deadline_s:
                    raise
            await asyncio.sleep(ADMISSION_POLL_S)
