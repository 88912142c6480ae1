"""Which slices streaming lanes see: all recordings, shuffled, end to end on one tape that goes round.

Each lane starts at its own place of the tape, at equal distances, and plays on. So an epoch sees every slice
once, however many lanes and recordings there are and however long these last; and an epoch that is cut short
sees no part of a recording more often than another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class StreamSegment:
    """Slices [start, stop) of a recording, which fill a lane's slices from k on.

    Attributes:
        is_first: the lane begins anew here: a recording starts, or the epoch.
        visit_id: of this lane, a number of its own for each time that it begins anew.
    """

    k: int
    recording: int
    start: int
    stop: int
    is_first: bool
    visit_id: int


class StreamSchedule:
    """R recordings of given lengths in slices, N together, in a random order from a random place on."""

    def __init__(self, lengths: Sequence[int], rng: np.random.Generator) -> None:
        self._order = rng.permutation(len(lengths))
        self._ends = np.cumsum(np.asarray(lengths)[self._order])
        self._total = int(self._ends[-1])
        self._offset = int(rng.integers(self._total))

    def segments(self, stream: int, streams: int, consumed: int, slices: int) -> Iterator[StreamSegment]:
        """The next slices of a lane.

        Args:
            stream: 0 to lanes - 1.
            streams: of all processes together.
            consumed: slices that the lane has seen this epoch.
            slices: to be seen now.
        """
        begin = self._offset + stream * self._total // streams
        at, end = begin + consumed, begin + consumed + slices
        while at < end:
            rounds, place = divmod(at, self._total)
            index = int(np.searchsorted(self._ends, place, "right"))
            length = int(self._ends[index] - (self._ends[index - 1] if index else 0))
            start = place - int(self._ends[index]) + length
            stop = min(length, start + end - at)
            visit = rounds * len(self._order) + index
            fresh = start == 0 or at == begin
            yield StreamSegment(at - begin - consumed, int(self._order[index]), start, stop, fresh, visit)
            at += stop - start
