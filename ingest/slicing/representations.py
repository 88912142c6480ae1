"""Representations of a slice's events as a frame (P, H, W): P channels, H rows, W columns."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import DTypeLike, NDArray

from spikewatch.ingest.formats.record_decoder import UInt

REPRESENTATIONS = ("polarity_counts", "latest_polarity")

COUNTS, LATEST = 0, 1
"""Codes by which `draw_event`, compiled, selects the representation."""

_MAX_COUNT = 65535
_NO_EVENT_VALUE, _ON_VALUE = 127, 255


@dataclass(frozen=True, slots=True)
class Representation:
    """One of REPRESENTATIONS: the blank frame of a slice, and the `code` for `draw_event`."""

    channels: int
    dtype: DTypeLike
    blank_value: int
    code: int

    def blank_frame(self, width: int, height: int) -> NDArray[Any]:
        """Return a frame (P, H, W) without events."""
        shape = (self.channels, height, width)
        return (
            np.full(shape, self.blank_value, self.dtype) if self.blank_value else np.zeros(shape, self.dtype)
        )


def make_representation(name: str) -> Representation:
    """Return the representation of that name.

    "polarity_counts": u16 (2, H, W), the number of events by polarity, channel 0 OFF, 1 ON; saturates at
    65,535. "latest_polarity": u8 (1, H, W), 127 without events, else the polarity of the pixel's last event
    in stream order, 0 OFF or 255 ON. The SpikeYOLO paper uses latest_polarity in three equal channels; the
    model repeats the channel.

    Raises:
        ValueError: unknown name.
    """
    if name == "polarity_counts":
        return Representation(channels=2, dtype=np.uint16, blank_value=0, code=COUNTS)
    if name == "latest_polarity":
        return Representation(channels=1, dtype=np.uint8, blank_value=_NO_EVENT_VALUE, code=LATEST)
    raise ValueError(f"unknown representation {name!r}; expected one of {', '.join(REPRESENTATIONS)}")


@numba.njit(inline="always")
def draw_event(frame: NDArray[Any], code: int, x: UInt, y: UInt, polarity: UInt) -> None:
    """Write one event into a frame (P, H, W). Call it from compiled loops that check the bounds.

    Pass unsigned x and y: numba checks signed indices for negative values, which costs a third of the time.
    """
    channel = np.uint64(polarity) & np.uint64(1)  # no branch: polarity is random and would be mispredicted
    if code == LATEST:
        frame[0, y, x] = np.uint64(_ON_VALUE) * channel
    else:
        count = frame[channel, y, x]
        if count < _MAX_COUNT:
            frame[channel, y, x] = count + 1
