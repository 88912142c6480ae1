"""Measuring several things in turn."""

import time
from collections.abc import Callable, Mapping

Clock = Callable[[], float]


def take_turns(
    rows: Mapping[str, Callable[[], object]],
    turns: int,
    repeats: int = 1,
    warm_up: int = 0,
    clock: Clock = time.perf_counter,
    tell: Callable[[float], None] = lambda _share: None,
) -> dict[str, list[float]]:
    """Seconds of each call, by row.

    Args:
        rows: name -> what is timed.
        turns: how often each row has its turn.
        repeats: timed calls of a turn.
        warm_up: calls before them that do not count: idle threads of the row before still spin.
        clock: seconds.
        tell: called with the share done.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(turns):
        for index, (name, run) in enumerate(rows.items()):
            for _ in range(warm_up):
                run()
            for _ in range(repeats):
                before = clock()
                run()
                seconds[name].append(clock() - before)
            tell((turn + (index + 1) / len(rows)) / turns)
    return seconds
