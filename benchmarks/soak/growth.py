"""Does memory grow? A line through the means of half minutes, with the confidence interval of its slope.

Neighbouring samples are far from independent: a mean of many of them counts as one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from benchmarks.soak.samples import Sample

MB = 1e6
BLOCK_S = 30.0
FEWEST_BLOCKS = 6
WARM_S = 300.0
FLAT_MB_PER_H = 30.0
"""The least growth that fails a run, if it is certain; a fault that costs a client 30 kB grows faster."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory of one life of the service.

    Attributes:
        life: which.
        minutes: fitted, after those that it was given to warm up.
        mb_per_h: slope, None where there is too little to fit.
        low, high: its 95 % confidence interval.
        first_mb, last_mb: the line at both ends.
        max_mb: the most of the whole life.
    """

    life: int
    minutes: float
    mb_per_h: float | None
    low: float | None
    high: float | None
    first_mb: float | None
    last_mb: float | None
    max_mb: float

    @property
    def grows(self) -> bool:
        """Beyond doubt, and by more than nothing."""
        return self.low is not None and self.low > FLAT_MB_PER_H


def growth(samples: Sequence[Sample], life: int, warm_s: float = WARM_S) -> Growth:
    """Of one life, once it is warm."""
    mine = [sample for sample in samples if sample.life == life]
    max_mb = max(sample.rss for sample in mine) / MB
    begun_s = mine[0].t_s
    warm = [sample for sample in mine if sample.t_s - begun_s >= warm_s]
    t_s, rss = _blocks(warm)
    minutes = (warm[-1].t_s - warm[0].t_s) / 60 if warm else 0.0
    if len(t_s) < FEWEST_BLOCKS:
        return Growth(life, minutes, None, None, None, None, None, max_mb)
    hours = (t_s - t_s[0]) / 3600
    slope, start, margin = fit(hours, rss / MB)
    return Growth(
        life, minutes, slope, slope - margin, slope + margin, start, start + slope * float(hours[-1]), max_mb
    )


def _blocks(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    if not samples:
        return np.empty(0), np.empty(0)
    t_s = np.array([sample.t_s for sample in samples])
    rss = np.array([sample.rss for sample in samples], float)
    block = ((t_s - t_s[0]) // BLOCK_S).astype(int)
    return tuple(np.array([v[block == b].mean() for b in np.unique(block)]) for v in (t_s, rss))  # type: ignore[return-value]


def fit(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Least squares: slope, y at x = 0, and half the slope's 95 % confidence interval."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread
    start = float(y.mean() - slope * x.mean())
    freedom = len(x) - 2
    residuals = y - start - slope * x
    error = math.sqrt(float(residuals @ residuals) / freedom / spread)
    return slope, start, _student(freedom) * error


def _student(freedom: int) -> float:
    """97.5 % quantile of Student's t by its expansion in 1/freedom (Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2
