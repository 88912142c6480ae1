"""Stream schedule: all recordings in random order, concatenated into one circular sequence of slices.

The streams start at equal distances in the sequence and advance together. So an epoch covers every slice
once, for any number of streams and any lengths of recordings. A shortened epoch covers no slice more often
than once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class StreamSegment:
    """Slices [start, stop) of a recording, which fill the slices of a stream from k on.

    Attributes:
        k: first slice in the batch.
        recording: index of the recording.
        start, stop: range of slices in the recording.
        is_first: True if the stream is reset here, at the start of a recording or of the epoch.
        visit_id: unique number, within a stream, of each time that it enters a recording.
    """

    k: int
    recording: int
    start: int
    stop: int
    is_first: bool
    visit_id: int


class StreamSchedule:
    """Circular schedule over R shuffled recordings (N slices in total), with a random offset."""

    def __init__(self, lengths: Sequence[int], rng: np.random.Generator) -> None:
        self._order = rng.permutation(len(lengths))
        self._ends = np.cumsum(np.asarray(lengths)[self._order])
        self._total = int(self._ends[-1])
        self._offset = int(rng.integers(self._total))

    def segments(self, stream: int, streams: int, consumed: int, slices: int) -> Iterator[StreamSegment]:
        """Yield the segments of the next slices of a stream.

        Args:
            stream: index of the stream, 0 to streams - 1.
            streams: number of streams of all processes.
            consumed: slices of the stream that are done in this epoch.
            slices: number of slices to return.
        """
        begin = self._offset + stream * self._total // streams
        position, end = begin + consumed, begin + consumed + slices
        while position < end:
            rounds, remainder = divmod(position, self._total)
            index = int(np.searchsorted(self._ends, remainder, "right"))
            length = int(self._ends[index] - (self._ends[index - 1] if index else 0))
            start = remainder - int(self._ends[index]) + length
            stop = min(length, start + end - position)
            visit_id = rounds * len(self._order) + index
            k = position - begin - consumed
            is_first = start == 0 or position == begin
            yield StreamSegment(k, int(self._order[index]), start, stop, is_first, visit_id)
            position += stop - start
