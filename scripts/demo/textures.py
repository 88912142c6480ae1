"""Procedural grey textures with ready-made blur levels; S: side in texels, N: textures, M: mip levels."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

SIDE = 128
LEVELS = 7

Image = NDArray[np.float32]


class Texture(IntEnum):
    """Index of each texture in the stack made by `texture_stack`."""

    PLAIN = 0
    ASPHALT = 1
    PAVING = 2
    FACADE_TALL = 3
    FACADE_WIDE = 4
    ROUND = 5
    WHEEL = 6
    PANEL = 7
    GLASS = 8
    SKY = 9
    LEAVES = 10


def _noise(rng: np.random.Generator, cells: tuple[int, ...]) -> Image:
    """Sum of blocky normal noise, one octave for each number of texels in a cell."""
    total = np.zeros((SIDE, SIDE))
    for cell in cells:
        total += np.kron(rng.normal(size=(SIDE // cell, SIDE // cell)), np.ones((cell, cell)))
    return np.asarray(total / len(cells) ** 0.5, np.float32)


def _paving(rng: np.random.Generator) -> Image:
    slabs: Image = 1 + 0.06 * _noise(rng, (1, 32)) + 0.03 * _noise(rng, (4,))
    slabs[::32] *= 0.72
    slabs[:, ::32] *= 0.72
    return slabs


def _facade(rng: np.random.Generator, columns: int, rows: int, pane: float, frame: float) -> Image:
    wall: Image = 1 + 0.05 * _noise(rng, (1, 4, 16))
    wall[:: SIDE // 32] *= 0.94
    pitch_x, pitch_y = SIDE // columns, SIDE // rows
    for column in range(columns):
        for row in range(rows):
            left, right = int((column + 0.27) * pitch_x), int((column + 0.73) * pitch_x)
            top, bottom = int((row + 0.2) * pitch_y), int((row + 0.74) * pitch_y)
            wall[top - 2 : bottom + 3, left - 2 : right + 2] = frame
            wall[top:bottom, left:right] = pane * rng.uniform(0.7, 1.5)
            wall[top:bottom, (left + right) // 2] = frame
            if rng.random() < 0.4:
                wall[top : (top + bottom) // 2, left:right] *= 1.5
    return wall


def _wheel() -> Image:
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE / 2) - 1 + 1 / SIDE
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    spokes = np.where(np.cos(5 * angle) > -0.2, 1.0, 0.35)
    rim = np.where(radius < 0.16, 0.5, spokes)
    return np.where(radius < 0.64, rim, 0.2).astype(np.float32)


def _panel() -> Image:
    """A car's side: u runs from tail to nose, v from sill to shoulder."""
    v = np.linspace(0, 1, SIDE)[:, None]
    side = np.repeat(0.8 + 0.25 * np.sin(np.pi * v**1.5), SIDE, axis=1).astype(np.float32)
    side[: SIDE // 6] *= 0.55
    for seam in (0.22, 0.45, 0.71):
        side[SIDE // 6 :, int(seam * SIDE) : int(seam * SIDE) + 2] *= 0.6
    for handle in (0.26, 0.49):
        side[88:92, int(handle * SIDE) : int(handle * SIDE) + 7] *= 0.45
    return side


def _sky(rng: np.random.Generator) -> Image:
    row = np.linspace(0, 1, SIDE)[:, None]
    cloud = _noise(rng, (16, 32))
    for _ in range(6):
        near = cloud + np.roll(cloud, 5, 0) + np.roll(cloud, 9, 1) + np.roll(cloud, -9, 1)
        cloud = np.asarray(near / 4, np.float32)
    return (1 - 0.15 * row + 0.12 * cloud).astype(np.float32)


def _blurred(level_0: Image) -> Image:
    """The texture and its halvings, each stretched back to full size, so that one index serves all levels."""
    levels = [level_0]
    for level in range(1, LEVELS):
        cell = 2**level
        small = level_0.reshape(SIDE // cell, cell, SIDE // cell, cell).mean((1, 3))
        levels.append(np.kron(small, np.ones((cell, cell), np.float32)))
    return np.stack(levels)


def texture_stack(seed: int) -> Image:
    """Reflectance factors around one, float32 [N, M, S, S], in the order of `Texture`."""
    rng = np.random.default_rng(seed)
    across = np.linspace(-1, 1, SIDE, dtype=np.float32)
    textures = {
        Texture.PLAIN: np.ones((SIDE, SIDE), np.float32),
        Texture.ASPHALT: 1 + 0.05 * _noise(rng, (1, 2)) + 0.03 * _noise(rng, (16, 32)),
        Texture.PAVING: _paving(rng),
        Texture.FACADE_TALL: _facade(rng, 4, 4, 0.3, 1.25),
        Texture.FACADE_WIDE: _facade(rng, 4, 2, 0.22, 0.75),
        Texture.ROUND: np.tile(1.1 - 0.55 * np.abs(across) ** 2.5, (SIDE, 1)),
        Texture.WHEEL: _wheel(),
        Texture.PANEL: _panel(),
        Texture.GLASS: np.tile(0.7 + 0.9 * (np.linspace(0, 1, SIDE, dtype=np.float32) ** 2), (SIDE, 1)).T,
        Texture.SKY: _sky(rng),
        Texture.LEAVES: np.clip(1 + 0.3 * _noise(rng, (4, 8, 16)), 0.3, 2.0),
    }
    stack = np.stack([_blurred(np.asarray(textures[name], np.float32)) for name in Texture])
    return np.ascontiguousarray(stack, np.float32)
