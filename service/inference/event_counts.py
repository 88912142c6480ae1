"""Events of a slice by pixel and polarity, packed for pictures; H, W: sensor pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_COUNT = 15
"""More events of one polarity at a pixel look the same."""

NO_EVENT_VALUE = 127
"""The value of a pixel without events in a `latest_polarity` frame."""


def pack_counts(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the OFF events of each pixel plus 16 times its ON events, [H, W], each at most MAX_COUNT.

    frame: `polarity_counts` [2, H, W] (channel 0 OFF, 1 ON) or `latest_polarity` [1, H, W] (0 OFF, 255 ON),
    whose events count as one a pixel.
    """
    if frame.shape[0] == 1:
        frame = np.concatenate((frame < NO_EVENT_VALUE, frame > NO_EVENT_VALUE))
    counts: NDArray[np.uint8] = np.minimum(frame, MAX_COUNT).astype(np.uint8)
    packed: NDArray[np.uint8] = counts[0] | (counts[1] << 4)
    return packed
