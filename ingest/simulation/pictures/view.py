"""Motion of a virtual camera over a picture: crop, zoom, shake, pan and roll. N: boxes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MARGIN = 1.04
"""Smallest zoom, relative to the one at which the picture fills the sensor."""

MAX_ZOOM = 2.5
"""Largest zoom at 320 columns; beyond, edges of the picture are soft and thick."""

REFERENCE_WIDTH = 320.0
"""Sizes and speeds in pixels are for sensors of this width; wider sensors have more."""


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Sample log-uniformly from [low, high)."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True, slots=True)
class View:
    """Section of a picture that the sensor sees; it moves as a sum of sines.

    Attributes:
        width, height: size of the sensor in pixels.
        picture_size: width and height of the picture in its pixels.
        scale: sensor pixels for each pixel of the picture, at time 0.
        centre: mean position of the sensor's centre in the picture.
        swing: amplitude of three sines in x and y, in pixels of the picture, [3,2].
        frequency_hz: frequency of these sines, [3,2].
        phase: their phases, [3,2].
        roll: amplitude of the rotation in radians.
        roll_phase: its phase.
        growth: change of the logarithm of the scale a second.
    """

    width: int
    height: int
    picture_size: tuple[int, int]
    scale: float
    centre: NDArray[np.float64]
    swing: NDArray[np.float64]
    frequency_hz: NDArray[np.float64]
    phase: NDArray[np.float64]
    roll: float
    roll_phase: float
    growth: float

    def matrix(self, t_s: float) -> NDArray[np.float64]:
        """Return the affine map [2,3] from sensor to picture, both in pixels.

        The centre is moved so that the sensor sees the picture only.
        """
        scale = self.scale * np.exp(self.growth * t_s)
        size = np.array([self.width, self.height])
        half, picture = size / (2 * scale), np.array(self.picture_size)
        moved = self.centre + (self.swing * np.sin(2 * np.pi * self.frequency_hz * t_s + self.phase)).sum(0)
        moved = np.clip(moved, np.minimum(half, picture / 2), np.maximum(picture - half, picture / 2))
        angle = self.roll * np.sin(2 * np.pi * ROLL_HZ * t_s + self.roll_phase)
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        turn = np.array([[cos, -sin], [sin, cos]])
        return np.hstack([turn, (moved - turn @ (size / 2))[:, None]])

    def sampling_grid(self, t_s: float) -> NDArray[np.float32]:
        """Return the position in the picture of each sensor pixel, [height,width,2]."""
        x = np.arange(self.width, dtype=np.float32)[None]
        y = np.arange(self.height, dtype=np.float32)[:, None]
        grid = np.empty((self.height, self.width, 2), np.float32)
        for axis, (a, b, c) in enumerate(self.matrix(t_s).astype(np.float32)):
            grid[:, :, axis] = a * x + (b * y + c)
        return grid

    def project(
        self, xyxy: NDArray[np.float64], t_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Map boxes of the picture to the sensor.

        Args:
            xyxy: [N,4] corners in the picture.
            t_s: time.

        Returns:
            Corners on the sensor [N,4], clipped to it, and the share of the area of each that is visible [N].
        """
        matrix = self.matrix(t_s)
        back = np.linalg.inv(matrix[:, :2])
        corners = xyxy[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        on_sensor = (corners - matrix[:, 2]) @ back.T
        whole = np.stack([on_sensor.min(1), on_sensor.max(1)], 1)
        visible = np.clip(whole, 0, (self.width, self.height))
        areas = [np.prod(np.ptp(each, 1), 1) for each in (visible, whole)]
        return visible.reshape(-1, 4), areas[0] / np.maximum(areas[1], 1e-6)


ROLL_HZ = 0.8


def sample_view(
    rng: np.random.Generator,
    sensor_size: tuple[int, int],
    picture_size: tuple[int, int],
    target: NDArray[np.float64] | None = None,
    target_height_px: float = 0.0,
) -> View:
    """Sample a view: standing (a quarter), slow, or fast, up to 350 sensor pixels a second.

    Args:
        rng: random generator.
        sensor_size: width and height in pixels.
        picture_size: width and height of the picture in its pixels.
        target: box [4] in the picture to look at, or None for any place.
        target_height_px: height on the sensor that the box gets, within the limits of the zoom.
    """
    size, picture = np.array(sensor_size, float), np.array(picture_size, float)
    large = max(sensor_size[0] / REFERENCE_WIDTH, 1.0)
    least = float((size / picture).max()) * MARGIN
    if target is None:
        scale, at = log_uniform(rng, least, max(1.1 * least, 2.2)), rng.uniform(0, 1, 2) * picture
    else:
        scale = target_height_px / max(float(target[3] - target[1]), 1.0)
        at = (target[:2] + target[2:]) / 2
    scale = float(np.clip(scale, least, max(MAX_ZOOM * min(large, 1.6), least * 1.1)))
    standing, slow, fast = 0.0, log_uniform(rng, 5, 60), log_uniform(rng, 60, 350)
    speed = float(rng.choice([standing, slow, fast], p=[0.25, 0.4, 0.35]))
    frequency_hz = rng.uniform(0.2, 3.0, (3, 2))
    peak = speed * rng.dirichlet([1, 1, 1], 2).T * min(large, 1.8)
    return View(
        *sensor_size,
        picture_size,
        scale,
        at + rng.uniform(-0.3, 0.3, 2) * size / scale,
        np.minimum(peak / (2 * np.pi * frequency_hz), 80 * large) / scale,
        frequency_hz,
        rng.uniform(0, 2 * np.pi, (3, 2)),
        float(np.deg2rad(rng.uniform(0, 4)) * (speed > 0 and rng.random() < 0.5)),
        float(rng.uniform(0, 2 * np.pi)),
        float(rng.uniform(-0.15, 0.15) * (speed > 0)),
    )
