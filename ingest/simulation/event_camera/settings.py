"""What differs from one event camera, and from one recording, to the next."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.errors import SimulationError


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """An event camera. Thresholds in units of the natural logarithm of luminance, rates for one pixel.

    The effects are those that Lichtsteiner et al. (IEEE JSSC 43, 2008), Nozaki and Delbruck (IEEE TED 64,
    2017) and Hu et al. ("v2e", CVPRW 2021) describe; the defaults lie amid the ranges of `sample_settings`.

    Attributes:
        on_threshold, off_threshold: means over pixels of the contrast that fires.
        threshold_spread: standard deviation of both over pixels.
        dark: added to luminance before the logarithm (dark current, stray light); the median scene is 0.35.
        bandwidth_hz: cut-off of the photoreceptor at luminance one; it falls with the light.
        low_light: added to luminance where it scales the bandwidth.
        refractory_us: a pixel that fired is blind this long.
        leak_hz: ON events of a pixel to which nothing happens.
        shot_hz: events without cause in the dark; a quarter of it in bright light.
        shot_spread: standard deviation of the logarithm of that rate over pixels.
        hot_share, hot_hz: share of pixels that fire by themselves, and how often.
        bus_events_per_s: what the readout carries; of more, the rest is dropped, evenly over the step.
    """

    on_threshold: float = 0.32
    off_threshold: float = 0.28
    threshold_spread: float = 0.035
    dark: float = 0.03
    bandwidth_hz: float = 120.0
    low_light: float = 0.08
    refractory_us: float = 400.0
    leak_hz: float = 0.05
    shot_hz: float = 0.25
    shot_spread: float = 0.7
    hot_share: float = 2e-4
    hot_hz: float = 60.0
    bus_events_per_s: float = 2e7

    def __post_init__(self) -> None:
        above_zero = (
            "on_threshold",
            "off_threshold",
            "dark",
            "bandwidth_hz",
            "refractory_us",
            "bus_events_per_s",
        )
        for name in self.__slots__:
            value = getattr(self, name)
            if not value >= 0 or (value == 0 and name in above_zero):
                wanted = "above" if name in above_zero else "at least"
                raise SimulationError(f"camera setting {name} is {value}; it must be {wanted} zero")
        if self.hot_share > 1:
            raise SimulationError(f"camera setting hot_share is {self.hot_share}; a share is at most one")


def sample_settings(rng: np.random.Generator) -> CameraSettings:
    """One camera of many; the ranges are tuned on real recordings (docs/simulation.md)."""
    threshold, ratio = rng.uniform(0.22, 0.5), rng.uniform(1.0, 1.9)
    return CameraSettings(
        on_threshold=threshold * ratio**0.5,
        off_threshold=threshold / ratio**0.5,
        threshold_spread=rng.uniform(0.02, 0.05),
        dark=_sample_log_uniform(rng, 0.015, 0.06),
        bandwidth_hz=_sample_log_uniform(rng, 60, 250),
        refractory_us=rng.uniform(200, 1000),
        leak_hz=_sample_log_uniform(rng, 0.005, 0.1),
        shot_hz=_sample_log_uniform(rng, 0.005, 0.6),
        shot_spread=rng.uniform(0.5, 0.9),
        hot_share=rng.uniform(0, 2e-4),
        hot_hz=_sample_log_uniform(rng, 20, 200),
    )


def _sample_log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
