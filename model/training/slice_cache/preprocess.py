"""A labelled recording as half slices of network input, quantised to bytes.

Slices lie as `model.training.windows` lays them for carried membranes: labels are boundaries, and no event
at or after a label is in a slice that ends there. After the last label nothing is cut. Each slice is kept as
two halves of equal time, so that slices can later be joined differently (`model.training.jitter`).

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
"""Network input of consecutive half slices [2N,P,h,w], `quantisation_levels(spec)` being 1.0."""


@dataclass(frozen=True, slots=True)
class SliceGrid:
    """Where a recording is cut.

    Attributes:
        edges_us: int64 [N+1], boundaries of the slices.
        labelled: int64 [L], the slices that end at a label, ascending.
    """

    edges_us: NDArray[np.int64]
    labelled: NDArray[np.int64]

    def __len__(self) -> int:
        """N."""
        return max(len(self.edges_us) - 1, 0)


def label_times(labelled_us: NDArray[np.int64], min_gap_us: int) -> list[int]:
    """Those of ascending times that become boundaries; one nearer than min_gap_us to the one before does not.

    Labels at 60 Hz (1 Mpx) would else make slices of 16 ms. That a label is left out depends on earlier
    labels only.
    """
    times: list[int] = []
    for t_us in labelled_us.tolist():
        if not times or t_us - times[-1] >= min_gap_us:
            times.append(t_us)
    return times


def build_grid(labels_us: Sequence[int], first_us: int | None, window_spec: WindowSpec) -> SliceGrid:
    """Slices up to the last label; an early label gets blank ones before it.

    Args:
        labels_us: ascending and different.
        first_us: time of the first event, None if there is none.
        window_spec: length of a slice, and how many the first label has at least.
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
    """One recording being cut; its grid is known at once, its frames as they are drawn.

    Raises:
        ConfigError: the representation cannot be cut for training, see `quantisation_levels`.
        IngestError: the recording is damaged.
    """

    def __init__(self, recording: Recording, labels_us: Sequence[int], spec: ModelSpec) -> None:
        self._levels = quantisation_levels(spec)
        self._spec = spec
        self._letterbox = Letterbox.fit(*recording.sensor_size(), spec)
        self._history = EventHistory(recording, spec.representation)
        self.grid = build_grid(labels_us, self._history.first_us(), WindowSpec(spec.slices, spec.slice_us))

    def half_slices(self) -> Iterator[NDArray[np.uint8]]:
        """Input of each half slice [P,h,w] in order of time; the first half is the shorter by rounding.

        Halves of whole counts add up exactly, others to within one level.
        """
        for t0_us, t1_us in pairwise(self.grid.edges_us.tolist()):
            middle_us = (t0_us + t1_us) // 2
            self._history.discard_before(t0_us)
            yield self._half_slice(t0_us, middle_us)
            yield self._half_slice(middle_us, t1_us)

    def _half_slice(self, t0_us: int, t1_us: int) -> NDArray[np.uint8]:
        frame = preprocess(self._history.frame(t0_us, t1_us), self._letterbox, self._spec)
        quantised: NDArray[np.uint8] = np.rint(frame.numpy() * self._levels).astype(np.uint8)
        return quantised
