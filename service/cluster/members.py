"""Which workers are alive, by their heartbeats."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Member:
    """A worker.

    Attributes:
        url: base address for clients.
        life: random name of its process, so that a restarted worker is told apart.
        slots: sessions that it can have.
        beat_s: when its last heartbeat came.
        draining: it accepts no new sessions.
        handle: with which the directory calls it.
        pid: its process, on its machine.
        probed_s: when its port was last probed.
    """

    name: str
    url: str
    life: str
    slots: int
    beat_s: float
    handle: Any = None
    pid: int = 0
    draining: bool = False
    probed_s: float = 0.0


class Membership:
    """The living workers. Times are those of one monotonic clock, in seconds."""

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self.members: dict[str, Member] = {}

    def join(self, member: Member) -> Member | None:
        """Add a worker, or renew it; return the earlier life that it replaces, if there is one."""
        old = self.members.get(member.name)
        replaced = old is not None and old.life != member.life
        if old is not None and not replaced:
            member.draining = old.draining
        self.members[member.name] = member
        return old if replaced else None

    def leave(self, member: Member) -> bool:
        """Remove a worker; False if it has gone, or a new life has its name."""
        if self.members.get(member.name) is not member:
            return False
        del self.members[member.name]
        return True

    def beat(self, name: str, life: str, now_s: float) -> bool:
        """Note a heartbeat; False if the worker must register first."""
        member = self.members.get(name)
        if member is None or member.life != life:
            return False
        member.beat_s = now_s
        return True

    def expired(self, now_s: float) -> list[Member]:
        """Return workers without a heartbeat for longer than `lease_s`."""
        return [member for member in self.members.values() if now_s - member.beat_s > self.lease_s]

    def forgive(self, late_s: float) -> None:
        """Extend all leases, because the directory itself was late by this time, and heartbeats wait."""
        for member in self.members.values():
            member.beat_s += late_s
