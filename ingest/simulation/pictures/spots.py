"""Scenes of light spots without any object: dots, rings and fountains of sparks. H, W: sensor pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.pictures.view import log_uniform

GEN1_WIDTH = 304
"""Sizes and speeds are for sensors of this width, and grow with it."""


class Dots:
    """Bright or dark spots that circle, drift and flash over a plain ground; rings also grow."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], rings: bool = False) -> None:
        count, large = int(rng.integers(1, 7)), size[0] / GEN1_WIDTH
        self._rng, self._size, self._count = rng, np.array(size), count
        self._ground = log_uniform(rng, 0.05, 0.6)
        self._light = self._ground * np.exp(rng.choice([-1, 1]) * rng.uniform(0.8, 3, count))
        small = rng.choice([1, 0.3], p=[0.7, 0.3])
        self._radius = np.exp(rng.uniform(0, np.log(40), count)) * small * large
        self._centre = rng.uniform(0, 1, (count, 2)) * size
        self._drift = rng.normal(0, 60 * large**0.5, (count, 2))
        self._orbit, self._hz = rng.uniform(0, 90 * large, count), rng.uniform(-3, 3, count)
        self._phase = rng.uniform(0, 2 * np.pi, count)
        self._flash_hz = rng.uniform(5, 60, count) * (rng.random(count) < 0.3)
        self._blur, self._sparks = log_uniform(rng, 0.6, 3), 12 * int(rng.random() < 0.25)
        growth = rng.uniform(-60, 120, count) * large * (rng.random(count) < 0.7)
        self._growth = growth if rings else np.zeros(count)
        self._thickness = [int(rng.integers(1, 7)) for _ in range(count)] if rings else [-1] * count

    def luminance(self, t_s: float) -> NDArray[np.float32]:
        """Return the luminance [H,W]."""
        picture: NDArray[np.float32] = np.full(self._size[::-1], self._ground, np.float32)
        for i in range(self._count):
            angle = 2 * np.pi * self._hz[i] * t_s + self._phase[i]
            at = (self._centre[i] + self._drift[i] * t_s) % self._size
            at = at + self._orbit[i] * np.array([np.cos(angle), np.sin(angle)])
            if self._flash_hz[i] and np.sin(2 * np.pi * self._flash_hz[i] * t_s) < 0:
                continue
            light = float(self._light[i])
            radius = (self._radius[i] + self._growth[i] * t_s) % (0.7 * self._size[0])
            centre = (int(at[0] * 16), int(at[1] * 16))
            cv2.circle(picture, centre, int(radius * 16), light, self._thickness[i], shift=4)
            for spark in self._rng.normal(0, 3 * self._radius[i] + 8, (self._sparks, 2)) + at:
                cv2.circle(picture, (int(spark[0]), int(spark[1])), 1, light, -1)
        blurred: NDArray[np.float32] = cv2.GaussianBlur(picture, (0, 0), self._blur)
        return blurred


def rings(rng: np.random.Generator, size: tuple[int, int]) -> Dots:
    """Return circles that grow and shrink."""
    return Dots(rng, size, rings=True)


class Sparks:
    """Fountains of glowing particles that fall, from sources that swing."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self._rng, self._size = rng, size
        count, large = int(rng.integers(1, 3)), size[0] / GEN1_WIDTH
        self._ground = log_uniform(rng, 0.02, 0.3)
        self._source = rng.uniform(0.2, 0.8, (count, 2)) * size
        self._swing, self._hz = rng.uniform(0, 40, (count, 2)) * large, rng.uniform(0.2, 2, (count, 2))
        self._rate_hz, self._life_s = log_uniform(rng, 150, 2500), rng.uniform(0.1, 0.5)
        self._speed, self._fall = log_uniform(rng, 80, 700) * large, rng.uniform(0, 600) * large
        self._glow = log_uniform(rng, 0.5, 8)
        self._alive, self._last_s = np.zeros((0, 5)), 0.0

    def luminance(self, t_s: float) -> NDArray[np.float32]:
        """Return the luminance [H,W]."""
        sources = self._source + self._swing * np.sin(2 * np.pi * self._hz * t_s)
        self._add_sparks(sources, t_s)
        picture: NDArray[np.float32] = np.full(self._size[::-1], self._ground, np.float32)
        age = t_s - self._alive[:, 4:]
        velocity = self._alive[:, 2:4]
        at = self._alive[:, :2] + velocity * age + np.hstack([0 * age, 0.5 * self._fall * age**2])
        for start, end, age_s in zip(at - 0.008 * velocity, at, age[:, 0], strict=True):
            light = self._ground + self._glow * float(np.exp(-3 * age_s / self._life_s))
            cv2.line(picture, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), light, 1)
        for source in sources:
            radius = int(self._rng.integers(1, 8))
            cv2.circle(picture, (int(source[0]), int(source[1])), radius, self._ground + self._glow, -1)
        blurred: NDArray[np.float32] = cv2.GaussianBlur(picture, (0, 0), 0.7)
        return blurred

    def _add_sparks(self, sources: NDArray[np.float64], t_s: float) -> None:
        count = int(self._rng.poisson(self._rate_hz * max(t_s - self._last_s, 0.0)))
        self._last_s = t_s
        angle, pace = self._rng.uniform(0, 2 * np.pi, count), self._speed * self._rng.uniform(0.1, 1, count)
        at = sources[self._rng.integers(0, len(sources), count)]
        born = np.column_stack([at, pace * np.cos(angle), pace * np.sin(angle), np.full(count, t_s)])
        self._alive = np.concatenate([self._alive[t_s - self._alive[:, 4] < self._life_s], born])
