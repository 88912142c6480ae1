"""Augmentation options for event clips, and sampling of the augmentation of one clip.

A sampled augmentation applies to a whole clip, or to a stream until its next reset.
"""

from dataclasses import dataclass, replace

import numpy as np

from spikewatch.model.training.augment.count_change import CountChange
from spikewatch.model.training.augment.placement import Placement, Rectangle
from spikewatch.model.training.augment.render import HotPixels, IntensityChange
from spikewatch.model.training.augment.transforms import sample_log_uniform, sample_placement

NOISE_SKEW = 1.5
"""Exponent of the uniform number that scales the noise rate."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Augmentation options for event clips.

    Shares are probabilities for each clip or stream. Values are sampled uniformly from their range; `scale`
    and `contrast` are sampled log-uniformly.

    Attributes:
        flip: share that is mirrored left to right.
        zoom: share that is scaled by a factor from `scale`.
        translate: maximum shift, as a share of the frame's sides, in either direction.
        mosaic: share of the random clips that are composed of four clips.
        swap: share with exchanged polarities, as if light and dark were exchanged.
        thin: share that loses events; each event is kept with a probability from `keep`.
        gain: share with counts multiplied by a factor from `contrast`, as of another contrast threshold.
        noise: share with up to `noise_events` for each pixel and polarity in a slice; low rates are more
            frequent than high ones.
        hot: share with hot pixels, up to `hot_share` of all pixels. Their mean count in a slice, of both
            polarities together, is sampled log-uniformly from `hot_events`.
        erase: share of the random clips with a blank rectangle, whose sides are a share from `erase_side` of
            the frame's sides.
        jitter: share with slices of 0.5 to 1.5 times the usual length, see `augment.time_jitter`.
    """

    flip: float = 0.5
    zoom: float = 0.6
    scale: tuple[float, float] = (0.5, 1.6)
    translate: float = 0.1
    mosaic: float = 0.2
    swap: float = 0.1
    thin: float = 0.3
    keep: tuple[float, float] = (0.6, 1.0)
    gain: float = 0.3
    contrast: tuple[float, float] = (0.7, 1.4)
    noise: float = 0.3
    noise_events: float = 0.004
    hot: float = 0.0
    hot_share: float = 0.003
    hot_events: tuple[float, float] = (0.25, 8.0)
    erase: float = 0.1
    erase_side: tuple[float, float] = (0.1, 0.35)
    jitter: float = 0.3

    @staticmethod
    def none() -> "Augmentation":
        """Return options that change nothing."""
        return Augmentation(
            flip=0, zoom=0, translate=0, mosaic=0, swap=0, thin=0, gain=0, noise=0, erase=0, jitter=0
        )

    @staticmethod
    def strong() -> "Augmentation":
        """Return options for sensors and scenes of every kind.

        In slices of 50 ms: noise up to 2 Hz a pixel, hot pixels of 5 to 160 Hz.
        """
        return Augmentation(
            scale=(0.45, 1.8),
            swap=0.15,
            keep=(0.3, 1.0),
            gain=0.4,
            contrast=(0.25, 3.0),
            noise=0.5,
            noise_events=0.05,
            hot=0.3,
            jitter=0.4,
        )

    @staticmethod
    def mild() -> "Augmentation":
        """Return options for the end of a training with `strong` augmentation."""
        return Augmentation(noise_events=0.01, hot=0.05, hot_share=0.001)


@dataclass(frozen=True, slots=True)
class SampledAugmentation:
    """Augmentation of one clip or stream."""

    placement: Placement
    intensity: IntensityChange
    jitter: bool


def sample_augmentation(
    augmentation: Augmentation, rng: np.random.Generator, height: int, width: int, *, clip: bool
) -> SampledAugmentation:
    """Sample the augmentation of a random clip, or of a stream, in which nothing is erased.

    `height` and `width` are those of the input in pixels.
    """
    placement = sample_placement(augmentation, rng, height, width)
    erased = (
        _sample_rectangle(rng, augmentation, width, height)
        if clip and rng.random() < augmentation.erase
        else None
    )
    intensity = replace(sample_intensity(augmentation, rng), erased=erased)
    return SampledAugmentation(placement, intensity, bool(rng.random() < augmentation.jitter))


def sample_intensity(augmentation: Augmentation, rng: np.random.Generator) -> IntensityChange:
    """Sample the changes of the counts: polarity swap, thinning, gain and noise."""
    thin, gain, noise, swap = rng.random(4)
    keep = rng.uniform(*augmentation.keep) if thin < augmentation.thin else 1.0
    contrast = sample_log_uniform(rng, augmentation.contrast) if gain < augmentation.gain else 1.0
    rate = augmentation.noise_events * rng.uniform() ** NOISE_SKEW if noise < augmentation.noise else 0.0
    hot = _sample_hot_pixels(augmentation, rng) if rng.random() < augmentation.hot else None
    change = None if keep == contrast == 1.0 else CountChange(keep, contrast)
    return IntensityChange(
        swap=bool(swap < augmentation.swap), count_change=change, noise=rate, hot_pixels=hot
    )


def _sample_hot_pixels(augmentation: Augmentation, rng: np.random.Generator) -> HotPixels:
    share = rng.uniform(0, augmentation.hot_share)
    return HotPixels(share, sample_log_uniform(rng, augmentation.hot_events), int(rng.integers(1 << 31)))


def _sample_rectangle(
    rng: np.random.Generator, augmentation: Augmentation, width: int, height: int
) -> Rectangle:
    w, h = (max(int(side * rng.uniform(*augmentation.erase_side)), 1) for side in (width, height))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    return Rectangle(x, y, x + w, y + h)
