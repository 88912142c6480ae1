"""Counters of a sink, and whether it can be reached."""

import threading
from collections.abc import Callable

Report = Callable[[str], None]


class SinkState:
    """Shared by the threads that publish and the thread of the sink.

    Attributes:
        name: of the sink, in metrics and logs.
        delivered, dropped, refused: results with the sink; dropped by a bound; rejected by the sink for good.
        up: whether the sink can be reached; None until the first attempt.
        spool_bytes: bytes that wait in its spool.
    """

    def __init__(self, name: str, report: Report) -> None:
        self.name = name
        self.delivered = self.dropped = self.refused = self.spool_bytes = 0
        self.up: bool | None = None
        self._report = report
        self._dropped_before_outage = 0
        self._lock = threading.Lock()

    def count(self, *, delivered: int = 0, dropped: int = 0, refused: int = 0) -> None:
        """Add to the counters."""
        with self._lock:
            self.delivered += delivered
            self.dropped += dropped
            self.refused += refused

    def report_refusal(self, results: int, reason: str) -> None:
        """Count results that the sink rejects for good; report the first time."""
        if not self.refused:
            self._report(f"sink {self.name} refused {results} results: {reason}; they are not sent again")
        self.count(refused=results)

    def mark_up(self) -> None:
        """Record that the sink is reached; report it after an outage."""
        was, self.up = self.up, True
        if was is False:
            lost = self.dropped - self._dropped_before_outage
            self._report(f"sink {self.name} is back; {lost} results were dropped meanwhile")

    def mark_down(self, reason: str) -> None:
        """Record that the sink cannot be reached; report it once an outage."""
        was, self.up = self.up, False
        if was is not False:
            self._dropped_before_outage = self.dropped
            self._report(f"sink {self.name} is down: {reason}; retrying, detection continues")
