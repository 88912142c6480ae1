"""Noise events of an event camera: shot noise, uneven over pixels, and hot pixels. H, W: sensor pixels."""

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events, empty_events
from spikewatch.ingest.simulation.event_camera.settings import CameraSettings

BRIGHT_NOISE_SHARE = 0.25
"""Noise rate at luminance 1, as a share of the rate in the dark (Hu et al., v2e, 2021)."""

PATCH_PX = 32
"""Side of the patches of uneven noise in pixels."""

ON_NOISE_SHARE = 0.45
"""Share of ON events among noise events."""


def sample_noise_rates(
    rng: np.random.Generator, shape: tuple[int, int], settings: CameraSettings
) -> NDArray[np.float64]:
    """Sample each pixel's noise rate in the dark, Hz [H,W]: log-normal with mean shot_hz, plus hot pixels.

    A hot pixel's rate is higher by hot_hz.
    """
    spread = settings.shot_spread
    rates = settings.shot_hz * np.exp(rng.normal(-(spread**2) / 2, spread, shape))
    if settings.shot_patchiness:
        rates *= np.exp(_sample_patches(rng, shape, settings.shot_patchiness))
    hot = rng.random(shape) < settings.hot_share
    return np.where(hot, rates + settings.hot_hz, rates)


def _sample_patches(
    rng: np.random.Generator, shape: tuple[int, int], deviation: float
) -> NDArray[np.float64]:
    """Sample the logarithm of factors [H,W] with mean 1, equal in patches of PATCH_PX pixels."""
    coarse = rng.normal(-(deviation**2) / 2, deviation, [-(-side // PATCH_PX) for side in shape])
    patches = coarse.repeat(PATCH_PX, 0).repeat(PATCH_PX, 1)
    return patches[: shape[0], : shape[1]]


def sample_noise(
    rng: np.random.Generator,
    cumulative_hz: NDArray[np.float64],
    luminance: NDArray[np.float32],
    t0_us: int,
    t1_us: int,
) -> Events:
    """Sample the Poisson noise of one step, not sorted by time.

    Args:
        rng: random generator; advanced.
        cumulative_hz: cumulative sum [H*W] of the rates in the dark.
        luminance: [H,W] of the step; reduces the noise, down to BRIGHT_NOISE_SHARE.
        t0_us: start of the step.
        t1_us: end of the step, exclusive.
    """
    total_hz = float(cumulative_hz[-1])
    count = int(rng.poisson(total_hz * (t1_us - t0_us) * 1e-6))
    pixel = np.searchsorted(cumulative_hz, rng.random(count) * total_hz, side="right")
    light = np.minimum(luminance.ravel()[pixel], 1)
    pixel = pixel[rng.random(count) < 1 - (1 - BRIGHT_NOISE_SHARE) * light]
    noise = empty_events(len(pixel))
    noise["t"] = rng.integers(t0_us, t1_us, len(pixel))
    noise["y"], noise["x"] = np.divmod(pixel, luminance.shape[1])
    noise["p"] = rng.random(len(pixel)) < ON_NOISE_SHARE
    return noise
