"""How far a session has been saved."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SnapshotPosition:
    """How far the snapshot of a session goes.

    Attributes:
        accepted_bytes: offset from which bytes must be sent again after a restart.
        next_seq: number of the first result that is not in the snapshot.
        revision: of the session, when the snapshot was taken.
    """

    accepted_bytes: int
    next_seq: int
    revision: int
