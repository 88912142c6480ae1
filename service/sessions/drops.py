"""Dropped slices, dropped and filtered events of one session, added to the metrics of its model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spikewatch.service.metrics.model import ModelMetrics
from spikewatch.service.schemas import Totals

Counts = tuple[dict[str, int], dict[str, int]]
"""Dropped events by reason, and filtered events by filter."""


class DropReporter:
    """Adds each drop to the metrics once. `totals` returns the counts of the session."""

    def __init__(self, metrics: ModelMetrics, hop: int, totals: Callable[[], Totals]) -> None:
        self._metrics = metrics
        self._hop = hop
        self._totals = totals
        self._reported: Counts | None = {}, {}
        """Counts at the last report; None while they must not be read."""

    def count_slice(self, dropped_slices: int) -> None:
        """Count one more slice, the `dropped_slices`-th of the session, and the window that it completes."""
        self._metrics.dropped_slices.inc()
        if dropped_slices % self._hop == 0:
            self._metrics.dropped_windows.inc()

    def report_events(self) -> None:
        """Add the events dropped and filtered since the last report."""
        if self._reported is None:
            return
        before, now = self._reported, self._counts()
        for reason, count in now[0].items():
            self._metrics.count_dropped_events(reason, count - before[0].get(reason, 0))
        for name, count in now[1].items():
            self._metrics.count_filtered_events(name, count - before[1].get(name, 0))
        self._reported = now

    def _counts(self) -> Counts:
        totals = self._totals()
        return totals.dropped_events, totals.filtered_events

    @contextmanager
    def replacing_counts(self) -> Iterator[None]:
        """Report nothing while the block replaces the counts of the session, nor the counts that it brings.

        In between, the totals may be the new ones while the source is still the old one.
        """
        self.report_events()
        reported, self._reported = self._reported, None
        try:
            yield
            reported = self._counts()
        finally:
            self._reported = reported
