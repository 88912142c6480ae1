"""Settings of a simulated event camera, which differ between recordings."""

from dataclasses import dataclass, replace

import numpy as np

from spikewatch.ingest.errors import SimulationError


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """Settings of an event camera. Thresholds are in natural log luminance, rates per pixel.

    The effects are described by Lichtsteiner et al. (IEEE JSSC 43, 2008), Nozaki and Delbruck (IEEE TED 64,
    2017) and Hu et al. ("v2e", CVPRW 2021). The defaults are in the middle of the ranges of
    `sample_settings`.

    Attributes:
        on_threshold, off_threshold: contrast at which a pixel fires, mean over pixels.
        threshold_spread: standard deviation of both thresholds over pixels.
        dark: added to luminance before the logarithm (dark current, stray light); the median scene is 0.35.
        bandwidth_hz: cut-off frequency of the photoreceptor at luminance 1; proportional to the light.
        low_light: added to luminance before it scales the bandwidth.
        refractory_us: time after an event during which the pixel does not fire.
        leak_hz: rate of ON events at constant light.
        shot_hz: rate of noise events in the dark; a quarter of it in bright light.
        shot_spread: standard deviation of the logarithm of shot_hz over pixels.
        shot_patchiness: standard deviation of the logarithm of shot_hz over patches of the sensor.
        hot_share, hot_hz: share of hot pixels, and their additional noise rate.
        bus_events_per_s: readout limit; excess events are dropped evenly over the step.
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
    shot_patchiness: float = 0.0
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
                bound = "above 0" if name in above_zero else "at least 0"
                raise SimulationError(f"camera setting {name} is {value}; expected {bound}")
        if self.hot_share > 1:
            raise SimulationError(f"camera setting hot_share is {self.hot_share}; expected at most 1")


def sample_settings(rng: np.random.Generator) -> CameraSettings:
    """Sample the settings of a camera; the ranges are tuned on real recordings (docs/simulation.md)."""
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


def sample_varied_settings(rng: np.random.Generator) -> CameraSettings:
    """Sample the settings of any camera: more sensitive, patchy noise up to 5 Hz a pixel, more hot pixels.

    Trained weights then also work on cameras that are less clean than those of `sample_settings`.
    """
    usual, lower = sample_settings(rng), rng.uniform(0.6, 1.0)
    hot = rng.random() < 0.3
    return replace(
        usual,
        on_threshold=usual.on_threshold * lower,
        off_threshold=usual.off_threshold * lower,
        shot_hz=_sample_log_uniform(rng, 0.005, 5.0),
        shot_patchiness=rng.uniform(0, 0.8),
        hot_share=rng.uniform(0, 5e-3) if hot else usual.hot_share,
    )


def _sample_log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
