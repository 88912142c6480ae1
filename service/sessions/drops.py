"""Dropped slices and events of one session, added to the metrics of its model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spikewatch.service.metrics.model import ModelMetrics


class DropReporter:
    """Adds each drop to the metrics once. `dropped_events` returns the counts of the session by reason."""

    def __init__(self, metrics: ModelMetrics, hop: int, dropped_events: Callable[[], dict[str, int]]) -> None:
        self._metrics = metrics
        self._hop = hop
        self._dropped_events = dropped_events
        self._reported: dict[str, int] | None = {}
        """Counts at the last report; None while they must not be read."""

    def count_slice(self, dropped_slices: int) -> None:
        """Count one more slice, the `dropped_slices`-th of the session, and the window that it completes."""
        self._metrics.dropped_slices.inc()
        if dropped_slices % self._hop == 0:
            self._metrics.dropped_windows.inc()

    def report_events(self) -> None:
        """Add the events dropped since the last report."""
        if self._reported is None:
            return
        counts = self._dropped_events()
        for reason, count in counts.items():
            self._metrics.count_dropped_events(reason, count - self._reported.get(reason, 0))
        self._reported = counts

    @contextmanager
    def replacing_counts(self) -> Iterator[None]:
        """Report nothing while the block replaces the counts of the session, nor the counts that it brings.

        In between, the totals may be the new ones while the source is still the old one.
        """
        self.report_events()
        reported, self._reported = self._reported, None
        try:
            yield
            reported = self._dropped_events()
        finally:
            self._reported = reported
