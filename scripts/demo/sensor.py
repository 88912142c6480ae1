"""An event camera's pixels: luminance frames in, events out; H, W: sensor pixels.

After the published models ESIM (interpolated crossings) and v2e (non-idealities): each pixel keeps the
low-passed log luminance at which it last fired, and fires when the signal leaves that level by its threshold.
"""

from dataclasses import dataclass

import numba
import numpy as np

from ingest.events import Events, empty_events
from scripts.demo.shapes import Floats

DARK_CURRENT = 0.035
"""And stray light: added to luminance before the logarithm; white paper in the sun is about one."""

LOW_LIGHT = 0.08
"""Added to luminance where it sets the photoreceptor's bandwidth."""


@dataclass(frozen=True)
class SensorSettings:
    """Thresholds in log units, rates in Hz for each pixel, times in seconds."""

    on_threshold: float = 0.39
    off_threshold: float = 0.36
    threshold_spread: float = 0.035
    bandwidth_hz: float = 120.0
    refractory_s: float = 4e-4
    leak_hz: float = 0.05
    shot_hz: float = 0.1
    shot_spread: float = 0.7
    hot_pixels: int = 12
    hot_factor: float = 200.0


class EventSensor:
    """The state of H x W pixels between frames; the same seed sees the same events."""

    def __init__(self, height: int, width: int, seed: int, settings: SensorSettings) -> None:
        self._rng = np.random.default_rng(seed)
        self._settings = settings
        self._shape = (height, width)
        spread = settings.threshold_spread
        self._on = np.clip(self._rng.normal(settings.on_threshold, spread, self._shape), 0.08, 1)
        self._off = np.clip(self._rng.normal(settings.off_threshold, spread, self._shape), 0.08, 1)
        weights = np.exp(self._rng.normal(0, settings.shot_spread, height * width))
        weights[self._rng.choice(height * width, settings.hot_pixels)] *= settings.hot_factor
        self._noise_cdf = np.cumsum(weights / weights.sum())
        self._last_s = np.full(self._shape, -1.0)
        self._level: Floats | None = None
        self._reference = np.empty(self._shape)
        self._time_s = 0.0

    def expose(self, luminance: Floats, time_s: float) -> Events:
        """Events since the last frame, sorted by time; the first frame only settles the pixels."""
        log_luminance = np.log(luminance + DARK_CURRENT)
        if self._level is None:
            self._level = log_luminance.copy()
            self._reference = log_luminance + self._rng.uniform(-0.15, 0.15, self._shape)
            self._time_s = time_s
            return empty_events()
        settings = self._settings
        parts = _signal_events(
            log_luminance, luminance, self._level, self._reference, self._last_s, self._on, self._off,
            self._time_s, time_s, settings.bandwidth_hz, settings.leak_hz, settings.refractory_s,
        )  # fmt: skip
        events = _sorted_events(parts, self._shot_noise(time_s - self._time_s))
        self._time_s = time_s
        return events

    def _shot_noise(self, seconds: float) -> Events:
        """Events without cause: Poisson in time, log-normally uneven over pixels, a few pixels hot."""
        height, width = self._shape
        count = int(self._rng.poisson(self._settings.shot_hz * height * width * seconds))
        pixel = np.searchsorted(self._noise_cdf, self._rng.random(count))
        noise = empty_events(count)
        noise["t"] = (1e6 * (self._time_s + self._rng.random(count) * seconds)).astype(np.int64)
        noise["x"], noise["y"] = pixel % width, pixel // width
        noise["p"] = self._rng.random(count) < 0.45
        return noise


def _sorted_events(signal: tuple[Floats, Floats, Floats, Floats], noise: Events) -> Events:
    events = empty_events(len(signal[0]) + len(noise))
    for name, values in zip(("t", "x", "y", "p"), signal, strict=True):
        events[name][: len(values)] = values
        events[name][len(values) :] = noise[name]
    return events[np.argsort(events["t"], kind="stable")]


@numba.njit(cache=True, error_model="numpy")
def _signal_events(
    log_luminance: Floats, luminance: Floats, level: Floats, reference: Floats, last_s: Floats, on: Floats,
    off: Floats, t0: float, t1: float, bandwidth_hz: float, leak_hz: float, refractory_s: float,
) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
    """Advances level, reference and last_s [H, W] in place from t0 to t1; returns t (µs), x, y, p."""
    height, width = level.shape
    # a pixel cannot fire more often than its refractory time lets it
    found = np.empty((4, height * width * (int((t1 - t0) / refractory_s) + 2)))
    n = 0
    for y in range(height):
        for x in range(width):
            cutoff = 2 * np.pi * bandwidth_hz * (luminance[y, x] + LOW_LIGHT)
            before = level[y, x]
            after = before + (1 - np.exp(-cutoff * (t1 - t0))) * (log_luminance[y, x] - before)
            level[y, x] = after
            reference[y, x] -= leak_hz * on[y, x] * (t1 - t0)
            rising = after > reference[y, x]
            step = on[y, x] if rising else -off[y, x]
            while (after - reference[y, x]) / step >= 1:
                reference[y, x] += step
                share = (reference[y, x] - before) / (after - before) if after != before else 1.0
                t = t0 + min(1.0, max(0.0, share)) * (t1 - t0)
                if t - last_s[y, x] >= refractory_s:
                    found[0, n], found[1, n], found[2, n], found[3, n] = 1e6 * t, x, y, rising
                    last_s[y, x] = t
                    n += 1
    return found[0, :n], found[1, :n], found[2, :n], found[3, :n]
