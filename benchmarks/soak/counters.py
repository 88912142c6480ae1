"""Counters of events and errors, and the reasons for failure."""

from collections import Counter
from dataclasses import dataclass, field

MAX_FAILURES = 50


class Failure(Exception):
    """A client got what it should not have got; the message says what."""


@dataclass(slots=True)
class SoakCounters:
    """Filled by all clients.

    Attributes:
        scenarios: clients that came to their end, by what they did.
        counts: sessions, windows compared, connections cut, resumes and such.
        errors: errors that clients received, by kind; most are provoked.
        failures: reasons for which the run has failed.
    """

    scenarios: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add_failure(self, reason: str) -> None:
        """Note a reason; beyond some, they are only counted."""
        self.counts["failures"] += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(reason)


def check_windows(received: list[str], expected: list[str], whole: bool) -> None:
    """Compare every window, in order; `whole`: none may be missing at the end.

    Raises:
        Wrong: names the first that differs.
    """
    for seq, (ours, theirs) in enumerate(zip(received, expected, strict=False)):
        if ours != theirs:
            raise Failure(f"window {seq} differs from its offline run: {_describe_difference(ours, theirs)}")
    if len(received) > len(expected) or (whole and len(received) < len(expected)):
        raise Failure(f"{len(received)} windows came, the offline run has {len(expected)}")


def _describe_difference(ours: str, theirs: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0)
    span = slice(max(at - 60, 0), at + 60)
    return f"...{ours[span]}... instead of ...{theirs[span]}..."
