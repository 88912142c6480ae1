"""Windows of T consecutive slices: what a detector looks at once. T slices, P channels, H rows, W columns."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.slicer import Slice


@dataclass(frozen=True, slots=True)
class FrameWindow:
    """The frames (T, P, H, W) of consecutive slices of [t0_us, t1_us), and the number of events in them."""

    t0_us: int
    t1_us: int
    frames: NDArray[Any]
    n_events: int


def windows(
    slices: Iterable[Slice], T: int, hop: int | None = None, *, keep_partial: bool = False
) -> Iterator[FrameWindow]:
    """Group slices into windows of T, a new one every `hop` slices (default T: side by side).

    A window never spans a discontinuity: there, as at the end, the slices that do not fill a window are left
    out, or with keep_partial come as a shorter one if any of them was in no window before.

    Raises:
        ValueError: T is below 1, or hop is not 1..T.
    """
    hop = T if hop is None else hop
    if T < 1 or not 1 <= hop <= T:
        raise ValueError(f"windows need T >= 1 and 1 <= hop <= T; got T={T}, hop={hop}")
    return _group(slices, T, hop, keep_partial)


def _group(slices: Iterable[Slice], T: int, hop: int, keep_partial: bool) -> Iterator[FrameWindow]:
    held: list[Slice] = []
    unseen = 0
    for part in slices:
        if part.discontinuity:
            if keep_partial and unseen:
                yield _window(held)
            held, unseen = [], 0
        held.append(part)
        unseen += 1
        if len(held) == T:
            yield _window(held)
            held, unseen = held[hop:], 0
    if keep_partial and unseen:
        yield _window(held)


def _window(held: list[Slice]) -> FrameWindow:
    return FrameWindow(
        t0_us=held[0].t0_us,
        t1_us=held[-1].t1_us,
        frames=np.stack([part.frame for part in held]),
        n_events=sum(part.n_events for part in held),
    )
