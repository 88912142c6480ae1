"""Scenes of pictures without objects: still, flickering, panned over, or in drifting pieces. H, W: pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.pictures.spots import GEN1_WIDTH
from spikewatch.ingest.simulation.pictures.textures import (
    CLUTTER_SIZE,
    LUMINANCE,
    draw_clutter,
    sample_texture,
)
from spikewatch.ingest.simulation.pictures.view import log_uniform, sample_view

FloatImage = NDArray[np.float32]


class Still:
    """Scene in which nothing moves, so that the camera gives noise alone."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        plain = rng.random() < 0.4
        self._picture: FloatImage = (
            np.full(size[::-1], log_uniform(rng, 0.02, 0.8), np.float32)
            if plain
            else sample_texture(rng, *size)
        )

    def luminance(self, t_s: float) -> FloatImage:
        """Return the luminance [H,W]."""
        return self._picture


class Clutter:
    """Textured picture over which the camera pans, shakes and zooms."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self._picture: FloatImage = LUMINANCE[draw_clutter(rng)]
        self._view = sample_view(rng, size, CLUTTER_SIZE)

    def luminance(self, t_s: float) -> FloatImage:
        """Return the luminance [H,W]."""
        grid = self._view.sampling_grid(t_s)
        seen: FloatImage = cv2.remap(
            self._picture, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        return seen


@dataclass(frozen=True, slots=True)
class _Lamp:
    """Area [H,W] whose light varies by `depth`, as a sine or on and off."""

    mask: FloatImage
    depth: float
    hz: float
    phase: float
    square: bool


class Flicker:
    """Still picture of which some areas become brighter and darker, as under lamps."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self._picture = sample_texture(rng, *size)
        self._lamps = [_sample_lamp(rng, size) for _ in range(int(rng.integers(1, 6)))]

    def luminance(self, t_s: float) -> FloatImage:
        """Return the luminance [H,W]."""
        picture = self._picture.copy()
        for lamp in self._lamps:
            wave = np.sin(2 * np.pi * lamp.hz * t_s + lamp.phase)
            picture *= 1 + lamp.mask * np.float32(lamp.depth * (np.sign(wave) if lamp.square else wave))
        return picture


def _sample_lamp(rng: np.random.Generator, size: tuple[int, int]) -> _Lamp:
    w, h = int(log_uniform(rng, 6, size[0])), int(log_uniform(rng, 6, size[1]))
    x, y = int(rng.integers(-w // 2, size[0])), int(rng.integers(-h // 2, size[1]))
    mask: FloatImage = np.zeros(size[::-1], np.float32)
    if rng.random() < 0.5:
        cv2.ellipse(mask, (x + w // 2, y + h // 2), (w // 2 + 1, h // 2 + 1), 0, 0, 360, 1.0, -1)
    else:
        cv2.rectangle(mask, (max(x, 0), max(y, 0)), (x + w, y + h), 1.0, -1)
    mains = rng.random() < 0.3
    hz = float(rng.choice([50, 60])) if mains else log_uniform(rng, 1, 40)
    return _Lamp(mask, rng.uniform(0.1, 0.9), hz, rng.uniform(0, 2 * np.pi), bool(rng.random() < 0.4))


@dataclass(frozen=True, slots=True)
class _Piece:
    """Textured piece [h,w] that drifts (pixels a second), turns (radians a second), grows and shakes."""

    texture: FloatImage
    mask: FloatImage
    start: NDArray[np.float64]
    speed: NDArray[np.float64]
    turn: float
    growth: float
    shake: NDArray[np.float64]
    shake_hz: float

    def matrix(self, size: tuple[int, int], t_s: float) -> NDArray[np.float64]:
        """Return the affine map [2,3] from the piece to the sensor."""
        height, width = self.texture.shape
        longest = max(height, width)
        at = self.start + self.speed * t_s + self.shake * np.sin(2 * np.pi * self.shake_hz * t_s)
        at = at % (np.array(size) + 2 * longest) - longest
        matrix: NDArray[np.float64] = cv2.getRotationMatrix2D(
            (width / 2, height / 2), float(np.rad2deg(self.turn * t_s)), float(np.exp(self.growth * t_s))
        )
        matrix[:, 2] += at - (width / 2, height / 2)
        return matrix


class Patches:
    """Textured pieces that move over a plain or textured ground, and are no objects."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self._size = size
        plain = rng.random() < 0.6
        self._ground: FloatImage = (
            np.full(size[::-1], log_uniform(rng, 0.05, 0.6), np.float32)
            if plain
            else sample_texture(rng, *size)
        )
        self._pieces = [_sample_piece(rng, size) for _ in range(int(rng.integers(1, 6)))]

    def luminance(self, t_s: float) -> FloatImage:
        """Return the luminance [H,W]."""
        picture = self._ground.copy()
        for piece in self._pieces:
            matrix = piece.matrix(self._size, t_s)
            alpha = cv2.warpAffine(piece.mask, matrix, self._size, flags=cv2.INTER_LINEAR)
            moved = cv2.warpAffine(
                piece.texture, matrix, self._size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            picture += alpha * (moved - picture)
        return picture


def _sample_piece(rng: np.random.Generator, size: tuple[int, int]) -> _Piece:
    large = size[0] / GEN1_WIDTH
    side = (np.exp(rng.uniform(np.log(6), np.log(110), 2)) * large).astype(int) + 2
    texture = sample_texture(rng, int(side[0]), int(side[1])) * np.float32(log_uniform(rng, 0.5, 3))
    direction = rng.uniform(0, 2 * np.pi)
    return _Piece(
        texture,
        _sample_outline(rng, side),
        rng.uniform(0, 1, 2) * size,
        log_uniform(rng, 8, 350) * large**0.6 * np.array([np.cos(direction), np.sin(direction)]),
        rng.normal(0, 0.7),
        rng.uniform(-0.3, 0.3),
        rng.uniform(0, 12, 2) * large,
        rng.uniform(0.5, 6),
    )


def _sample_outline(rng: np.random.Generator, side: NDArray[np.int64]) -> FloatImage:
    """Return the mask of an ellipse, a polygon, or many small leaves; [side[1],side[0]]."""
    mask: FloatImage = np.zeros(side[::-1], np.float32)
    middle = side / 2
    centre = (int(middle[0]), int(middle[1]))
    match int(rng.integers(3)):
        case 0:
            cv2.ellipse(mask, centre, centre, 0, 0, 360, 1.0, -1)
        case 1:
            count = int(rng.integers(3, 9))
            angle = np.sort(rng.uniform(0, 2 * np.pi, count))
            reach = rng.uniform(0.3, 1, count)[:, None]
            corners = middle + reach * middle * np.column_stack([np.cos(angle), np.sin(angle)])
            cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0)
        case _:
            for _ in range(int(rng.integers(5, 60))):
                at = rng.uniform(0, 1, 2) * side
                radius = int(rng.integers(1, max(3, int(side.min() / 6))))
                cv2.circle(mask, (int(at[0]), int(at[1])), radius, 1.0, -1)
    return mask
