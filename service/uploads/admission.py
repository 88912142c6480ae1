"""Room for one more session: looked for before an upload is put on disk, and waited for after that.

None is held while the bytes come, so a slow upload takes nobody's slot.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from spikewatch.service.auth.client import Client
from spikewatch.service.errors import InsufficientModelMemory, TooManyKeySessions, TooManySessions
from spikewatch.service.model_catalog import ModelEntry
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.session import Session

ADMISSION_TIMEOUT_S = 30.0
"""How long an upload that is whole waits for room."""

ADMISSION_POLL_S = 0.25


class SessionAdmission:
    """For a session of one model, of one caller. Lives on the event loop."""

    def __init__(self, manager: SessionManager, entry: ModelEntry, client: Client) -> None:
        self._manager = manager
        self._entry = entry
        self._client = client

    def check_capacity(self) -> None:
        """Refuse what `SessionManager.create` would, as far as is known without loading the model.

        Raises:
            Draining, TooManySessions, TooManyKeySessions, InsufficientModelMemory: as they say.
        """
        self._manager.check_capacity(self._client)
        self._manager.models.check_capacity(self._entry)

    async def create_when_available(self, create: Callable[[], Awaitable[Session]]) -> Session:
        """Return what `create` returns; retry for `ADMISSION_TIMEOUT_S` seconds while there is no room."""
        deadline_s = time.monotonic() + ADMISSION_TIMEOUT_S
        while True:
            try:
                self.check_capacity()
                return await create()
            except (TooManySessions, TooManyKeySessions, InsufficientModelMemory):
                if time.monotonic() > deadline_s:
                    raise
            await asyncio.sleep(ADMISSION_POLL_S)
