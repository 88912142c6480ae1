"""Room for one more session: looked for before an upload is put on disk, and waited for after that.

None is held while the bytes come, so a slow upload takes nobody's slot.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from spikewatch.service.auth.client import Caller
from spikewatch.service.errors import KeySessions, ModelMemory, TooManySessions
from spikewatch.service.model_catalog import Entry
from spikewatch.service.session_manager.manager import SessionHost
from spikewatch.service.sessions.session import Session

ROOM_S = 30.0
"""How long an upload that is whole waits for room."""

LOOK_S = 0.25


class Room:
    """For a session of one model, of one caller. Lives on the event loop."""

    def __init__(self, host: SessionHost, entry: Entry, caller: Caller) -> None:
        self._host = host
        self._entry = entry
        self._caller = caller

    def check(self) -> None:
        """Refuse what `SessionHost.create` would, as far as is known without loading the model.

        Raises:
            Draining, TooManySessions, KeySessions, ModelMemory: as they say.
        """
        self._host.check_room(self._caller)
        self._host.models.check_room(self._entry)

    async def soon(self, create: Callable[[], Awaitable[Session]]) -> Session:
        """What `create` gives; while there is no room it is tried again, for `ROOM_S` seconds."""
        deadline_s = time.monotonic() + ROOM_S
        while True:
            try:
                self.check()
                return await create()
            except (TooManySessions, KeySessions, ModelMemory):
                if time.monotonic() > deadline_s:
                    raise
            await asyncio.sleep(LOOK_S)
