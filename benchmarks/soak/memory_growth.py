"""Does memory grow? A line through what is used at rest, with the confidence interval of its slope.

At rest, since under load memory tells how many clients there are rather than what they have left behind.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from benchmarks.soak.samples import Sample

MB = 1e6
MIN_RESTS = 5
FLAT_LIMIT_MB_PER_H = 30.0
"""A fault that costs a client 30 kB grows faster."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory of one life of the service.

    Attributes:
        life: which.
        rests: fitted; those after the life was given some time to warm up.
        minutes: from the first of them to the last.
        mb_per_h: slope, None where there is too little to fit.
        low, high: its 95 % confidence interval.
        first_mb, last_mb: the line at both ends.
    """

    life: int
    rests: int
    minutes: float
    mb_per_h: float | None = None
    low: float | None = None
    high: float | None = None
    first_mb: float | None = None
    last_mb: float | None = None

    @property
    def grows(self) -> bool:
        """Beyond doubt, and by more than nothing."""
        return self.low is not None and self.low > FLAT_LIMIT_MB_PER_H

    @property
    def verdict(self) -> str:
        """In words."""
        if self.high is None:
            return "too short to tell"
        return "grows" if self.grows else "flat" if self.high < FLAT_LIMIT_MB_PER_H else "not certain"


def fit_growth(rests: Sequence[Sample], life: int, ready_s: float, warm_s: float) -> Growth:
    """Of one life that was ready at `ready_s`, from its samples at rest."""
    warm = [rest for rest in rests if rest.life == life and rest.t_s - ready_s >= warm_s]
    minutes = (warm[-1].t_s - warm[0].t_s) / 60 if warm else 0.0
    if len(warm) < MIN_RESTS:
        return Growth(life, len(warm), minutes)
    hours = np.array([rest.t_s - warm[0].t_s for rest in warm]) / 3600
    slope, start, margin = fit_line(hours, np.array([rest.memory for rest in warm]) / MB)
    low, high = slope - margin, slope + margin
    return Growth(life, len(warm), minutes, slope, low, high, start, start + slope * float(hours[-1]))


def fit_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Least squares: slope, y at x = 0, and half the slope's 95 % confidence interval."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread
    start = float(y.mean() - slope * x.mean())
    freedom = len(x) - 2
    residuals = y - start - slope * x
    error = math.sqrt(float(residuals @ residuals) / freedom / spread)
    return slope, start, _student_t_quantile(freedom) * error


def _student_t_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t by its expansion in 1/freedom (Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
