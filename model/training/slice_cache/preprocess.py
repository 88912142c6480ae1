"""Preprocessing of a labelled recording into half slices of network input, quantised to bytes.

The slices are those of stateful evaluation (`evaluation.window_runner`): labels are boundaries, and a slice
that ends at a label has no event at or after its time. There are no slices after the last label. Each slice
is stored as two halves of equal time, so that time jitter can join them differently (`augment.time_jitter`).

Shapes: N slices, P channels, h and w input pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.recording import Recording
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.event_history import EventHistory
from spikewatch.model.training.datasets.input_boxes import quantisation_levels
from spikewatch.model.training.datasets.window_bounds import WindowSpec, stateful_boundaries

HalfSlices = NDArray[np.uint8]
"""Network input of consecutive half slices [2N,P,h,w]; the value of 1.0 is `quantisation_levels(spec)`."""


@dataclass(frozen=True, slots=True)
class SliceGrid:
    """Grid of the slices of a recording.

    Attributes:
        edges_us: int64 [N+1], boundaries of the slices.
        labelled: int64 [L], ascending, the slices that end at a label.
    """

    edges_us: NDArray[np.int64]
    labelled: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of slices, N."""
        return max(len(self.edges_us) - 1, 0)


def label_times(labelled_us: NDArray[np.int64], min_gap_us: int) -> list[int]:
    """Select from ascending times those that become boundaries, at least min_gap_us apart.

    Without this, labels at 60 Hz (1 Mpx) would make slices of 16 ms. The selection depends on earlier labels
    only.
    """
    times: list[int] = []
    for t_us in labelled_us.tolist():
        if not times or t_us - times[-1] >= min_gap_us:
            times.append(t_us)
    return times


def build_grid(labels_us: Sequence[int], first_us: int | None, window_spec: WindowSpec) -> SliceGrid:
    """Build the slices up to the last label. An early first label gets blank slices before it.

    Args:
        labels_us: times of the labels, strictly ascending.
        first_us: time of the first event, or None.
        window_spec: length of a slice, and minimum number of slices before the first label.
    """
    edges: list[int] = []
    labelled: list[int] = []
    before_us: int | None = None
    for label_us in labels_us:
        edges.extend(list(stateful_boundaries(before_us, label_us, first_us, window_spec))[bool(edges) :])
        labelled.append(len(edges) - 2)
        before_us = label_us
    return SliceGrid(np.array(edges, np.int64), np.array(labelled, np.int64))


class Preprocessor:
    """Preprocessor of one recording: computes the grid at once, and half slices on demand.

    Attributes:
        grid: grid of the slices.

    Raises:
        ConfigError: the representation is not supported in training, see `quantisation_levels`.
        IngestError: the recording is damaged.
    """

    def __init__(self, recording: Recording, labels_us: Sequence[int], spec: ModelSpec) -> None:
        self._levels = quantisation_levels(spec)
        self._spec = spec
        self._letterbox = Letterbox.fit(*recording.sensor_size(), spec)
        self._history = EventHistory(recording, spec.representation)
        self.grid = build_grid(labels_us, self._history.first_us(), WindowSpec(spec.slices, spec.slice_us))

    def half_slices(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the input of each half slice [P,h,w] in order of time; the first half is rounded down.

        The sum of two halves is exact for integer counts, and within one level otherwise.
        """
        for t0_us, t1_us in pairwise(self.grid.edges_us.tolist()):
            middle_us = (t0_us + t1_us) // 2
            self._history.discard_before(t0_us)
            yield self._half_slice(t0_us, middle_us)
            yield self._half_slice(middle_us, t1_us)

    def _half_slice(self, t0_us: int, t1_us: int) -> NDArray[np.uint8]:
        frame = preprocess(self._history.frame(t0_us, t1_us), self._letterbox, self._spec)
        quantised: NDArray[np.uint8] = np.rint(frame * self._levels).astype(np.uint8)
        return quantised
