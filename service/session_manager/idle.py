"""Warns clients that have gone quiet, and ends their sessions."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import ServiceError, SessionClosed
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.saver import Keeper


@dataclass(frozen=True, slots=True)
class IdleRule:
    """How long a session may be silent.

    Attributes:
        timeout_s: silence that ends it.
        warning_s: how long before its end the client is warned; at most half of `timeout_s`.
    """

    timeout_s: float
    warning_s: float

    @property
    def warned_after_s(self) -> float:
        """Silence after which a session counts as idle and its client is warned."""
        return self.timeout_s - min(self.warning_s, self.timeout_s / 2)

    @property
    def sweep_s(self) -> float:
        """How often to look, so that a warning is never as late as the end."""
        return min(0.5, self.timeout_s / 8)


LAST_FLUSH_S = 5.0
"""How long a session that is not saved may take to run what it has left."""


class Silence:
    """Lives on the event loop; `end` ends a session for a reason."""

    def __init__(
        self, rule: IdleRule, keeper: Keeper, end: Callable[[Session, ServiceError, str], None]
    ) -> None:
        self._rule = rule
        self._keeper = keeper
        self._end = end
        self._ending: dict[str, asyncio.Task[None]] = {}

    def look(self, session: Session) -> bool:
        """Warn the client, or begin to end the session; False if there is no need to. Never waits."""
        pulse = session.pulse
        if pulse.warned and pulse.idle_s > self._rule.timeout_s:
            self._begin(session)
        elif pulse.idle_s > self._rule.warned_after_s and not pulse.warned:
            pulse.warn(self._rule.timeout_s - pulse.idle_s)
        else:
            return False
        return True

    def _begin(self, session: Session) -> None:
        if session.id not in self._ending:
            self._ending[session.id] = task = asyncio.create_task(self._save_and_end(session))
            task.add_done_callback(lambda _: self._ending.pop(session.id))

    async def _save_and_end(self, session: Session) -> None:
        """End a session, unless its client gives a sign of life while it is saved, or run to its end."""
        signs = session.pulse.signs
        saved = await self._keeper.save_at_end(session)
        if session.pulse.signs != signs:
            return
        if not saved:
            with suppress(ServiceError, IngestError, TimeoutError):
                async with asyncio.timeout(LAST_FLUSH_S):
                    await session.barrier()  # which may take long; the open slice is cut only after it
                    if session.pulse.signs == signs:
                        await session.flush()
            if session.pulse.signs != signs:
                return
        words = f"no bytes came for {self._rule.timeout_s:g} s"
        self._end(session, SessionClosed(words), "idle_timeout")
