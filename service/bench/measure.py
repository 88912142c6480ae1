"""Repeated measurements of one thing."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, and what nine of ten lie within."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """Of one value or more."""
        if len(values) == 1:
            return Spread(values[0], values[0], values[0])
        cuts = statistics.quantiles(values, n=20, method="inclusive")
        return Spread(statistics.median(values), cuts[0], cuts[-1])

    def text(self, digits: int = 1) -> str:
        """As a cell of a table."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"
