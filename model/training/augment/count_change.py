"""Count augmentation: simulates missed events and another contrast threshold by transition probabilities.

Symbols: n and m are integer counts, 0 to the cap.
"""

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

NUM_QUANTILES = 256


@dataclass(frozen=True, slots=True)
class CountChange:
    """Random change of counts: thinning, then a gain with stochastic rounding.

    The mean of a count is keep * gain * count, and counts stay integers. A count at the cap is treated as
    exact, because the number of events above the cap is unknown.

    Attributes:
        keep: probability that an event is kept.
        gain: factor of the count after thinning.
    """

    keep: float = 1.0
    gain: float = 1.0

    def transition_matrix(self, cap: int) -> NDArray[np.float64]:
        """Return P(m | n), float64 [cap+1,cap+1], with n as rows."""
        thinned = np.zeros((cap + 1, cap + 1))
        for n in range(cap + 1):
            for m in range(n + 1):
                thinned[n, m] = comb(n, m) * self.keep**m * (1 - self.keep) ** (n - m)
        gained = np.zeros((cap + 1, cap + 1))
        for n in range(cap + 1):
            whole, fraction = divmod(n * self.gain, 1)
            gained[n, min(int(whole), cap)] += 1 - fraction
            gained[n, min(int(whole) + 1, cap)] += fraction
        product: NDArray[np.float64] = thinned @ gained
        return product

    def lookup_table(self, cap: int) -> NDArray[np.uint8]:
        """Return the quantiles of m for each n, uint8 [cap+1,NUM_QUANTILES].

        A uniform random column has the distribution P(m | n) to within 1/NUM_QUANTILES.
        """
        levels = (np.arange(NUM_QUANTILES) + 0.5) / NUM_QUANTILES
        cumulated = np.cumsum(self.transition_matrix(cap), 1)
        quantiles = [np.searchsorted(row, levels) for row in cumulated]
        return np.minimum(quantiles, cap).astype(np.uint8)
