"""Another sensor's counts, as probabilities: events that are missed, and another contrast threshold.

Shapes: n and m are whole counts, 0 to the cap.
"""

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

NUM_QUANTILES = 256


@dataclass(frozen=True, slots=True)
class CountChange:
    """Each event is kept with a probability; a count of those is then multiplied, its fraction rounded up
    or down at random, so that the mean is right and counts stay whole.

    A count at the cap stands for itself: how many events lie above it is not known.
    """

    keep: float = 1.0
    gain: float = 1.0

    def transition_matrix(self, cap: int) -> NDArray[np.float64]:
        """P(m | n), float64 [cap+1, cap+1]; rows are n."""
        thinned = np.zeros((cap + 1, cap + 1))
        for n in range(cap + 1):
            for m in range(n + 1):
                thinned[n, m] = comb(n, m) * self.keep**m * (1 - self.keep) ** (n - m)
        gained = np.zeros((cap + 1, cap + 1))
        for n in range(cap + 1):
            whole, part = divmod(n * self.gain, 1)
            gained[n, min(int(whole), cap)] += 1 - part
            gained[n, min(int(whole) + 1, cap)] += part
        product: NDArray[np.float64] = thinned @ gained
        return product

    def lookup_table(self, cap: int) -> NDArray[np.uint8]:
        """uint8 [cap+1, DRAWS]: m for n and a number drawn evenly, to within 1/DRAWS of each probability."""
        levels = (np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES
        cumulated = np.cumsum(self.transition_matrix(cap), 1)
        drawn = [np.searchsorted(row, levels) for row in cumulated]
        return np.minimum(drawn, cap).astype(np.uint8)
