"""Pictures of clutter: noise of all scales, shapes and lines. H, W: pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.pictures.view import log_uniform

CLUTTER_SIZE = (640, 480)
"""Width and height of a picture of clutter in pixels."""

BLACK, WHITE = 16, 235
"""Grey levels of black and white in video."""

LUMINANCE: NDArray[np.float32] = (
    np.clip((np.arange(256) - BLACK) / (WHITE - BLACK), 0, 1) ** 2.2 + 1e-4
).astype(np.float32)
"""Grey level of video -> linear luminance (gamma 2.2)."""


def draw_clutter(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a picture of clutter, as facades, ground and foliage are: uint8 [H,W] of CLUTTER_SIZE."""
    width, height = CLUTTER_SIZE
    picture: NDArray[np.float32] = np.full((height, width), rng.uniform(40, 180), np.float32)
    for octave in range(2, 9):
        coarse = rng.normal(0, 1, (max(height >> octave, 2), max(width >> octave, 2))).astype(np.float32)
        picture += cv2.resize(coarse, CLUTTER_SIZE, interpolation=cv2.INTER_CUBIC) * rng.uniform(0, 25)
    for _ in range(int(rng.integers(0, 120))):
        _draw_shape(picture, rng)
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), log_uniform(rng, 0.5, 4))
    return np.clip(picture, BLACK, WHITE).astype(np.uint8)


def _draw_shape(picture: NDArray[np.float32], rng: np.random.Generator) -> None:
    x, y, x_end, y_end = (int(value) for value in rng.integers(0, CLUTTER_SIZE[0], 4))
    grey, size = float(rng.uniform(20, 235)), int(log_uniform(rng, 2, 120))
    match int(rng.integers(4)):
        case 0:
            cv2.line(picture, (x, y), (x_end, y_end), grey, int(rng.integers(1, 6)))
        case 1:
            axes = (size, int(size * rng.uniform(0.3, 1)) + 1)
            cv2.ellipse(picture, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, grey, -1)
        case 2:
            corner = (x + size, y + int(size * rng.uniform(0.2, 3)))
            cv2.rectangle(picture, (x, y), corner, grey, int(rng.choice([-1, 1, 3])))
        case _:
            corners = np.array((x, y)) + rng.normal(0, size, (5, 2))
            cv2.fillPoly(picture, [corners.astype(np.int32)], grey)


def sample_texture(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Return the luminance of a picture of clutter, scaled to [height,width]."""
    size = (max(width, 2), max(height, 2))
    grey = cv2.resize(draw_clutter(rng), size, interpolation=cv2.INTER_AREA)
    texture: NDArray[np.float32] = LUMINANCE[grey] + np.float32(0.01)
    return texture
