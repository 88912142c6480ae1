"""Who sends a request, and what that key uses at this moment."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager

from service.errors import KeySessions, KeyTooFast, KeyUploads, UnknownSession
from service.keys import KeyLimits

REMEMBERED = 256
"""Ended sessions of a key whose reason it is still told."""

BURST_S = 1.0
"""A key that was quiet may send this much of its rate at once."""


class Bucket:
    """Meters bytes at `rate` a second (the generic cell rate algorithm: one number, a time)."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._even_s = clock()
        """When all that was spent will be paid for."""

    def spend(self, count: int) -> float:
        """Take `count` bytes; the seconds to wait before more."""
        now = self._clock()
        self._even_s = max(self._even_s, now - BURST_S) + count / self._rate
        return self.behind_s

    @property
    def behind_s(self) -> float:
        """Seconds until bytes may be sent again; 0: now."""
        return max(0.0, self._even_s - self._clock())


class Caller:
    """One key: its sessions and what it uses. Lives on the event loop."""

    def __init__(self, name: str, limits: KeyLimits) -> None:
        self.name = name
        self._limits = limits
        self._sessions: OrderedDict[str, None] = OrderedDict()
        self._uploads = 0
        self._bucket = Bucket(limits.bytes_per_s)

    def owns(self, session_id: str) -> bool:
        """True for sessions of this key."""
        return session_id in self._sessions

    def require(self, session_id: str) -> None:
        """Let only the owner go on; to others it is as if there was no such session.

        Raises:
            UnknownSession: it is not this key's.
        """
        if not self.owns(session_id):
            raise UnknownSession(f"no session {session_id[:64]!r}")

    def check_room(self, running: Container[str]) -> None:
        """Before a session is opened; `running` are the ids of all that are open.

        Raises:
            KeySessions: this key has as many as it may.
        """
        if sum(session_id in running for session_id in self._sessions) >= self._limits.sessions:
            raise KeySessions(f"this key may have {self._limits.sessions} sessions at once; end one, or wait")

    def own(self, session_id: str, running: Container[str]) -> None:
        """Note a session of this key, and forget those that ended long ago."""
        self._sessions[session_id] = None
        ended = [old for old in self._sessions if old not in running]
        for old in ended[: max(0, len(ended) - REMEMBERED)]:
            del self._sessions[old]

    @contextmanager
    def upload(self) -> Iterator[None]:
        """While a recording is on its way.

        Raises:
            KeyUploads: as many are as may be.
        """
        if self._uploads >= self._limits.uploads:
            raise KeyUploads(
                f"this key may send {self._limits.uploads} recordings at once; wait for one to end"
            )
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    def check_rate(self) -> None:
        """Before a request with a body.

        Raises:
            KeyTooFast: this key must wait first.
        """
        if (behind_s := self._bucket.behind_s) > 0:
            raise KeyTooFast(
                f"this key may send {self._limits.bytes_per_s} bytes a second", math.ceil(behind_s)
            )

    def spend(self, count: int) -> float:
        """Count bytes that came; the seconds for which no more should be taken."""
        return self._bucket.spend(count)


class Anyone(Caller):
    """Whoever comes while no keys are asked for: every session is theirs, without limits of its own."""

    def __init__(self) -> None:
        super().__init__("anyone", KeyLimits(1, 1, 1))

    def owns(self, session_id: str) -> bool:
        """Always."""
        return True

    def check_room(self, running: Container[str]) -> None:
        """Only the service's own limit counts."""

    def own(self, session_id: str, running: Container[str]) -> None:
        """Nothing to note."""

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Only the service's own limit counts."""
        yield

    def check_rate(self) -> None:
        """No rate."""

    def spend(self, count: int) -> float:
        """No rate."""
        return 0.0
