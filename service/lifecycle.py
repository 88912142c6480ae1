"""The life of a session: created, streaming, idle, draining, closed; and when silence ends it.

created ── bytes ──> streaming <── bytes ──> idle (warned) ── silence ──> closed(idle_timeout)
                         └── the service stops ──> draining ──> closed(shutdown)
any of them ── close, DELETE, bad bytes, failure ──> closed(reason)
"""

from dataclasses import dataclass
from typing import Literal

State = Literal["created", "streaming", "idle", "draining", "closed"]


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


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session came to its end: a reason that programs know, and words."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class SavedPoint:
    """How far the snapshot of a session goes.

    Attributes:
        accepted_bytes: the offset from which bytes must be sent again after a restart.
        next_seq: of the first result that is not in it.
        changes: of the session, when it was taken.
    """

    accepted_bytes: int
    next_seq: int
    changes: int
