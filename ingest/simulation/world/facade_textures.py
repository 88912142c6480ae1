"""Textures of facades: one tile has a few windows, a shop or a door (see `textures`)."""

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.world.textures import TEXTURE_PX, brick_texture, fractal_noise


def facade_texture(rng: np.random.Generator) -> Floats:
    """Sample a wall with a grid of slightly different windows."""
    image = _wall_texture(rng)
    columns, rows = rng.integers(1, 5), rng.integers(1, 4)
    pitch_x, pitch_y = TEXTURE_PX / columns, TEXTURE_PX / rows
    width_share, height_share = rng.uniform(0.3, 0.75), rng.uniform(0.4, 0.75)
    glass, frame, surround = rng.uniform(0.03, 0.25), rng.uniform(0.2, 0.95), rng.uniform(0.3, 0.95)
    border, panes = int(rng.integers(0, 5)), int(rng.integers(1, 4))
    shutters = rng.random() < 0.25
    for column in range(columns):
        for row in range(rows):
            left = int((column + 0.5 - width_share / 2) * pitch_x)
            top = int((row + 0.55 - height_share / 2) * pitch_y)
            width, height = max(3, int(width_share * pitch_x)), max(4, int(height_share * pitch_y))
            _fill_rectangle(
                image, top - border, left - border, height + 2 * border, width + 2 * border, surround
            )
            _draw_window(rng, image, top, left, height, width, glass, frame, panes)
            if shutters:
                for side in (left - width // 2 - 1, left + width + 1):
                    _fill_rectangle(image, top, side, height, width // 2, surround * rng.uniform(0.5, 0.7))
    if rng.random() < 0.5:
        _fill_rectangle(image, 0, 0, int(rng.integers(1, 6)), TEXTURE_PX, surround)
    return np.clip(image, 0.02, 1)


def glass_front_texture(rng: np.random.Generator) -> Floats:
    """Sample an office front: glass between thin frames, with some blinds."""
    image = np.clip(0.15 + 0.05 * fractal_noise(rng, 1.5), 0.02, 1)
    columns, rows = int(rng.choice([2, 4, 8])), int(rng.choice([2, 4]))
    step_x, step_y = TEXTURE_PX // columns, TEXTURE_PX // rows
    for column in range(columns):
        for row in range(rows):
            tone = rng.uniform(0.03, 0.3) if rng.random() < 0.75 else rng.uniform(0.4, 0.8)
            _fill_rectangle(image, row * step_y, column * step_x, step_y, step_x, tone)
    frame, thickness = rng.uniform(0.3, 0.9), rng.integers(1, 4)
    image[np.arange(TEXTURE_PX) % step_y < thickness + rng.integers(0, 8)] = frame
    image[:, np.arange(TEXTURE_PX) % step_x < thickness] = frame
    return np.asarray(image)


def shop_texture(rng: np.random.Generator) -> Floats:
    """Sample a ground floor: shop windows with goods, a door, a sign with lettering above."""
    image = np.full((TEXTURE_PX, TEXTURE_PX), rng.uniform(0.15, 0.8))
    sign_rows = int(rng.integers(16, 36))
    _fill_rectangle(image, 0, 0, sign_rows, TEXTURE_PX, rng.uniform(0.05, 0.95))
    letters = np.kron(rng.random((sign_rows // 6, 24)) < 0.55, np.ones((3, 3))).astype(bool)
    area = image[5 : 5 + letters.shape[0], 16 : 16 + letters.shape[1]]
    area[letters] = rng.uniform(0, 1)
    edges = np.sort(rng.integers(4, TEXTURE_PX - 4, rng.integers(1, 4)))
    goods = 0.25 + 0.2 * fractal_noise(rng, 0.8)
    for left, right in zip([3, *(edges + 2)], [*(edges - 2), TEXTURE_PX - 3], strict=True):
        top = sign_rows + 4
        bottom = TEXTURE_PX - (3 if rng.random() < 0.4 else int(rng.integers(8, 24)))
        if right > left:
            image[top:bottom, left:right] = np.clip(goods[top:bottom, left:right], 0.02, 0.8)
    return np.asarray(np.clip(image, 0.02, 1))


def roof_texture(rng: np.random.Generator) -> Floats:
    """Sample roof tiles or sheets in rows."""
    row = np.arange(TEXTURE_PX)[:, None]
    rows = 0.55 + 0.2 * (row % rng.choice([4, 8, 16]) > 1)
    return np.asarray(np.clip(rows * (1 + 0.15 * fractal_noise(rng, 0.5)), 0.05, 1))


def lit_windows_texture(rng: np.random.Generator, image: Floats) -> Floats:
    """Return the glow of a facade at night: some of its dark panes."""
    row, column = np.mgrid[:TEXTURE_PX, :TEXTURE_PX] // 32
    on = rng.random((4, 4)) < 0.4
    return np.where((image < 0.3) & on[row, column], 1.0, 0.03)


def _wall_texture(rng: np.random.Generator) -> Floats:
    tone = rng.uniform(0.3, 0.85)
    if rng.random() < 0.4:
        return tone * brick_texture(rng)
    stain = 1 + rng.uniform(0.02, 0.12) * fractal_noise(
        rng, rng.uniform(0.5, 1.5), stretch=rng.choice([1.0, 4.0])
    )
    return tone * stain


def _draw_window(
    rng: np.random.Generator, image: Floats, top: int, left: int, height: int, width: int,
    glass: float, frame: float, panes: int,
) -> None:  # fmt: skip
    _fill_rectangle(image, top, left, height, width, frame)
    tone = glass if rng.random() < 0.7 else glass + rng.uniform(0, 0.5)
    pane = max(1, (width - 1) // panes)
    for index in range(panes):
        _fill_rectangle(image, top + 1, left + 1 + index * pane, height - 2, pane - 1, tone)
    if rng.random() < 0.4:
        _fill_rectangle(image, top + 1, left + 1, int(height * rng.uniform(0.2, 0.7)), width - 2, tone + 0.3)


def _fill_rectangle(image: Floats, top: float, left: float, height: float, width: float, tone: float) -> None:
    rows = slice(max(0, int(top)), max(0, int(top + height)))
    image[rows, max(0, int(left)) : max(0, int(left + width))] = tone
