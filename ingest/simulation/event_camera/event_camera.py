"""Simulated event camera: turns luminance frames into events. H, W: sensor pixels."""

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.events import DecodeStats, Events, empty_events
from spikewatch.ingest.simulation.event_camera.noise import sample_noise, sample_noise_rates
from spikewatch.ingest.simulation.event_camera.pixel_model import (
    FloatImage,
    emit_events,
    log_luminance,
    low_pass,
)
from spikewatch.ingest.simulation.event_camera.settings import CameraSettings

MIN_THRESHOLD = 0.05
"""Lower bound on a pixel's threshold, for any spread."""


class EventCamera:
    """State of all pixels of one camera; equal generators and frames give equal events.

    Attributes:
        on_threshold, off_threshold: contrast thresholds [H,W].
        level: low-passed log luminance [H,W]; None before the first frame.
        change: change of the level since the pixel last fired [H,W].
        refractory_remaining_us: remaining refractory time [H,W].
        t_us: time of the last frame.
        stats: events delivered, and events dropped by the bus (`bus_saturated`).
    """

    def __init__(self, height: int, width: int, settings: CameraSettings, rng: np.random.Generator) -> None:
        """Sample the pixels' parameters; the camera keeps `rng` for its noise."""
        shape = (height, width)
        self.settings = settings
        self.on_threshold = _sample_thresholds(rng, settings.on_threshold, settings.threshold_spread, shape)
        self.off_threshold = _sample_thresholds(rng, settings.off_threshold, settings.threshold_spread, shape)
        self.change = rng.uniform(-self.off_threshold, self.on_threshold).astype(np.float32)
        self.refractory_remaining_us = np.zeros(shape, np.float32)
        self.level: FloatImage | None = None
        self.t_us = 0
        self.stats = DecodeStats()
        self._rng = rng
        self._cumulative_noise_hz: NDArray[np.float64] = np.cumsum(sample_noise_rates(rng, shape, settings))

    def generate_events(self, luminance: FloatImage, t_us: int) -> Events:
        """Return the events between the last frame and this one, sorted by time; none for the first frame.

        Args:
            luminance: [H,W], linear, at least 0.
            t_us: time of the frame, later than the last one.

        Raises:
            SimulationError: the frame has another size, or is not later than the last one.
        """
        if luminance.shape != self.on_threshold.shape:
            raise SimulationError(
                f"frame of shape {luminance.shape}; expected the sensor's shape {self.on_threshold.shape}"
            )
        if self.level is None:
            self.level, self.t_us = log_luminance(luminance, self.settings), t_us
            return empty_events()
        t0_us, dt_us = self.t_us, t_us - self.t_us
        if dt_us <= 0:
            raise SimulationError(f"frame at {t_us} µs after one at {t0_us} µs; expected increasing times")
        level = low_pass(self.level, luminance, dt_us, self.settings)
        leak = np.float32(self.settings.leak_hz * dt_us * 1e-6) * self.on_threshold
        signal = emit_events(
            level - self.level + leak,
            self.on_threshold,
            self.off_threshold,
            self.change,
            self.refractory_remaining_us,
            t0_us,
            dt_us,
            self.settings.refractory_us,
        )
        noise = sample_noise(self._rng, self._cumulative_noise_hz, luminance, t0_us, t_us)
        self.level, self.t_us = level, t_us
        return self._limit_bus_rate(sort_by_time(np.concatenate((signal, noise)), t0_us), dt_us)

    def _limit_bus_rate(self, events: Events, dt_us: int) -> Events:
        limit = max(1, int(self.settings.bus_events_per_s * dt_us * 1e-6))
        if len(events) > limit:
            self.stats.count_dropped("bus_saturated", len(events) - limit)
            events = events[np.linspace(0, len(events) - 1, limit).astype(np.intp)]
        self.stats.events += len(events)
        return events


def sort_by_time(events: Events, t0_us: int) -> Events:
    """Sort events, none earlier than t0_us, by time; the sort is stable."""
    since = events["t"] - t0_us
    if len(since) and since.max() < 1 << 16:
        since = since.astype(np.uint16)  # NumPy sorts 16-bit integers by radix, ten times as fast
    return events[np.argsort(since, kind="stable")]


def _sample_thresholds(
    rng: np.random.Generator, mean: float, spread: float, shape: tuple[int, int]
) -> FloatImage:
    return np.maximum(rng.normal(mean, spread, shape), MIN_THRESHOLD).astype(np.float32)
