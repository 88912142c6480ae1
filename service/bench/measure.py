"""Repeated measurements of one thing."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Median, and the limits that nine of ten values lie within."""

    median: float
    low: float
    high: float

    @staticmethod
    def from_values(values: Sequence[float]) -> "Quantiles":
        """Of one value or more."""
        if len(values) == 1:
            return Quantiles(values[0], values[0], values[0])
        cuts = statistics.quantiles(values, n=20, method="inclusive")
        return Quantiles(statistics.median(values), cuts[0], cuts[-1])

    def text(self, digits: int = 1) -> str:
        """As a cell of a table."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


Clock = Callable[[], float]


def interleave(
    cases: Mapping[str, Callable[[], object]],
    turns: int,
    repeats: int = 1,
    warm_up: int = 0,
    clock: Clock = time.perf_counter,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> dict[str, list[float]]:
    """Seconds of each call, by row.

    Args:
        cases: name -> what is timed.
        turns: how often each row has its turn.
        repeats: timed calls of a turn.
        warm_up: calls before them that do not count: idle threads of the row before still spin.
        clock: seconds.
        on_progress: called with the share done.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(turns):
        for index, (name, run) in enumerate(cases.items()):
            for _ in range(warm_up):
                run()
            for _ in range(repeats):
                before = clock()
                run()
                seconds[name].append(clock() - before)
            on_progress((turn + (index + 1) / len(cases)) / turns)
    return seconds
