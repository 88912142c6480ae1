"""Window boundaries: start and end of the slices before a label."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """Window before a label: `slices` (T) slices of `slice_us` microseconds."""

    slices: int
    slice_us: int


def stateful_boundaries(
    before_us: int | None, label_us: int, first_us: int | None, window_spec: WindowSpec
) -> Iterable[int]:
    """Return the boundaries of the slices from the previous label, or from the first event, up to a label.

    Args:
        before_us: time of the previous label, or None.
        label_us: time of the label, the last boundary.
        first_us: time of the first event of the recording, or None.
        window_spec: length of a slice, and minimum number of slices before the first label.
    """
    if before_us is not None:
        slices = max((2 * (label_us - before_us) + window_spec.slice_us) // (2 * window_spec.slice_us), 1)
        return chain(
            [before_us],
            range(label_us - (slices - 1) * window_spec.slice_us, label_us + 1, window_spec.slice_us),
        )
    since = 0 if first_us is None else -((first_us - label_us) // window_spec.slice_us)
    return range(
        label_us - max(since, window_spec.slices) * window_spec.slice_us, label_us + 1, window_spec.slice_us
    )
