"""Sampling of geometric augmentation, for event clips and images: placements and mosaics."""

from typing import Protocol

import numpy as np

from spikewatch.model.training.augment.placement import Placement, Rectangle


class GeometricAugmentation(Protocol):
    """Geometric options of an augmentation; see `Augmentation` and `ImageAugmentation`."""

    @property
    def flip(self) -> float:
        """Share that is mirrored left to right."""

    @property
    def zoom(self) -> float:
        """Share that is scaled."""

    @property
    def scale(self) -> tuple[float, float]:
        """Range of the scale factor."""

    @property
    def translate(self) -> float:
        """Maximum shift, as a share of the sides."""


def sample_placement(
    augmentation: GeometricAugmentation, rng: np.random.Generator, height: int, width: int
) -> Placement:
    """Sample the placement of a single image in the output of height x width pixels."""
    scale = sample_log_uniform(rng, augmentation.scale) if rng.random() < augmentation.zoom else 1.0
    x_px, y_px = (_sample_shift(rng, side, scale, augmentation.translate) for side in (width, height))
    flip = bool(rng.random() < augmentation.flip)
    return Placement(Rectangle(0, 0, width, height), flip, scale, x_px, y_px)


def sample_mosaic(
    augmentation: GeometricAugmentation, rng: np.random.Generator, height: int, width: int
) -> list[Placement]:
    """Sample the placements of four images in the quarters around a random point.

    Each image is scaled to 1.0 to 1.5 times the size that fills its quarter, and cropped.
    """
    x, y = (round(side * rng.uniform(0.35, 0.65)) for side in (width, height))
    placements = []
    for x0, x1 in ((0, x), (x, width)):
        for y0, y1 in ((0, y), (y, height)):
            scale = max((x1 - x0) / width, (y1 - y0) / height) * rng.uniform(1.0, 1.5)
            x_px = rng.uniform(x1 - scale * width, x0)
            y_px = rng.uniform(y1 - scale * height, y0)
            flip = bool(rng.random() < augmentation.flip)
            placements.append(Placement(Rectangle(x0, y0, x1, y1), flip, scale, x_px, y_px))
    return placements


def sample_log_uniform(rng: np.random.Generator, span: tuple[float, float]) -> float:
    """Sample log-uniformly between two positive numbers."""
    return float(np.exp(rng.uniform(*np.log(span))))


def _sample_shift(rng: np.random.Generator, side: int, scale: float, translate: float) -> float:
    """Sample a position where a scaled side covers the output or lies within it, plus up to `translate`."""
    shift = rng.uniform(0, 1) * side * (1 - scale) + rng.uniform(-translate, translate) * side
    return float(round(shift)) if scale == 1 else float(shift)
