"""Where the slices before a label begin and end."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How the time before a label is cut: T slices of slice_us microseconds."""

    slices: int
    slice_us: int


def stateful_boundaries(
    before_us: int | None, label_us: int, first_us: int | None, window_spec: WindowSpec
) -> Iterable[int]:
    """Boundaries of the slices from the label before, or the recording's first event, up to a label."""
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
