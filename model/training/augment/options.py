"""Augmentation of event clips: what may be done to them, and drawing what is done to one.

What is drawn holds for a whole clip, and for a streaming lane until it is fresh again.
"""

from dataclasses import dataclass, replace

import numpy as np

from spikewatch.model.training.augment.count_change import CountChange
from spikewatch.model.training.augment.placement import Placement, Rectangle
from spikewatch.model.training.augment.render import IntensityChange
from spikewatch.model.training.augment.transforms import sample_log_uniform, sample_placement


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Shares are probabilities for a clip or lane; ranges are drawn from evenly, scales on a log scale.

    Attributes:
        flip: share that is mirrored left to right.
        zoom: share that is scaled, by `scale`.
        translate: the picture is moved by up to this part of its sides, either way.
        mosaic: share of the random clips that are put together of four.
        swap: share whose polarities are exchanged, as if lights and darks were.
        thin: share that loses events, each event being kept with a probability of `keep`.
        gain: share whose counts are multiplied by `contrast`, as of a sensor with another threshold.
        noise: share with up to `noise_events` for each pixel and polarity in a slice.
        erase: share of the random clips where a rectangle is blank, its sides `erase_side` of the
            picture's.
        jitter: share whose slices last 0.5 to 1.5 times as long, see `model.training.jitter`.
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
    erase: float = 0.1
    erase_side: tuple[float, float] = (0.1, 0.35)
    jitter: float = 0.3

    @staticmethod
    def none() -> "Augmentation":
        """Frames as they were cut."""
        return Augmentation(
            flip=0, zoom=0, translate=0, mosaic=0, swap=0, thin=0, gain=0, noise=0, erase=0, jitter=0
        )


@dataclass(frozen=True, slots=True)
class SampledAugmentation:
    """What is done to one clip or lane."""

    placement: Placement
    intensity: IntensityChange
    jitter: bool


def sample_augmentation(
    augmentation: Augmentation, rng: np.random.Generator, height: int, width: int, *, clip: bool
) -> SampledAugmentation:
    """For a random clip, or for a lane (which nothing is erased from); h and w: of the input, in pixels."""
    placement = sample_placement(augmentation, rng, height, width)
    erased = (
        _sample_rectangle(rng, augmentation, width, height)
        if clip and rng.random() < augmentation.erase
        else None
    )
    touch = replace(sample_intensity(augmentation, rng), erased=erased)
    return SampledAugmentation(placement, touch, bool(rng.random() < augmentation.jitter))


def sample_intensity(augmentation: Augmentation, rng: np.random.Generator) -> IntensityChange:
    """What is done to counts."""
    thin, gain, noise, swap = rng.random(4)
    keep = rng.uniform(*augmentation.keep) if thin < augmentation.thin else 1.0
    contrast = sample_log_uniform(rng, augmentation.contrast) if gain < augmentation.gain else 1.0
    rate = rng.uniform(0, augmentation.noise_events) if noise < augmentation.noise else 0.0
    change = None if keep == contrast == 1.0 else CountChange(keep, contrast)
    return IntensityChange(swap=bool(swap < augmentation.swap), count_change=change, noise=rate)


def _sample_rectangle(
    rng: np.random.Generator, augmentation: Augmentation, width: int, height: int
) -> Rectangle:
    w, h = (max(int(side * rng.uniform(*augmentation.erase_side)), 1) for side in (width, height))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    return Rectangle(x, y, x + w, y + h)
