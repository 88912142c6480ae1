"""Procedural textures from noise. A texture is [128, 128] float in 0..1, the relative luminance."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.geometry.mesh import Floats

TEXTURE_PX = 128


@dataclass(slots=True)
class TextureArray:
    """Texture array of a film; layer 0 is white."""

    layers: list[NDArray[np.uint8]] = field(
        default_factory=lambda: [encode_texture(np.ones((TEXTURE_PX, TEXTURE_PX)))]
    )

    def add(self, image: Floats) -> int:
        """Add an image [128, 128] in 0..1, first row on top; return its layer."""
        self.layers.append(encode_texture(image))
        return len(self.layers) - 1

    def stack(self) -> NDArray[np.uint8]:
        """Return [layers, 128, 128], first row at the bottom, as in OpenGL."""
        return np.ascontiguousarray(np.stack(self.layers)[:, ::-1])


def encode_texture(image: Floats) -> NDArray[np.uint8]:
    """Encode as 8-bit square roots, for precision in dark surfaces; the shaders square the values."""
    return np.asarray(np.sqrt(np.clip(image, 0.0, 1.0)) * 255 + 0.5).astype(np.uint8)


def fractal_noise(
    rng: np.random.Generator, slope: float = 1.0, stretch: float = 1.0, min_value: float = 0.0
) -> Floats:
    """Sample tileable noise [128, 128], mean 0, deviation 1, with amplitudes ~ frequency**-slope.

    stretch > 1 stretches it sideways; frequencies below `min_value` (cycles per tile) are omitted.
    """
    frequency_x = np.fft.rfftfreq(TEXTURE_PX, 1 / TEXTURE_PX)[None] * stretch
    frequency_y = np.fft.fftfreq(TEXTURE_PX, 1 / TEXTURE_PX)[:, None]
    frequency = np.hypot(frequency_x, frequency_y)
    frequency[0, 0] = 1.0
    amplitude = frequency**-slope * (frequency >= min_value)
    amplitude[0, 0] = 0.0
    phase = rng.uniform(0, 2 * np.pi, frequency.shape)
    noise = np.fft.irfft2(amplitude * np.exp(1j * phase), s=(TEXTURE_PX, TEXTURE_PX))
    return np.asarray(noise / noise.std())


def speckle_texture(rng: np.random.Generator, base: float, contrast: float, slope: float = 0.6) -> Floats:
    """Sample a base tone with noise, as of asphalt, plaster or cloth."""
    return np.asarray(np.clip(base * (1 + contrast * fractal_noise(rng, slope)), 0.01, 1.0))


def asphalt_texture(rng: np.random.Generator) -> Floats:
    """Sample a road surface with patches and cracks; one tile is about 4 m."""
    image = speckle_texture(rng, rng.uniform(0.6, 0.8), rng.uniform(0.04, 0.12), rng.uniform(0.2, 0.6))
    image *= 1 + rng.uniform(0.02, 0.12) * np.tanh(2 * fractal_noise(rng, 1.6))
    if rng.random() < 0.6:
        cracks = np.abs(fractal_noise(rng, 1.3)) < rng.uniform(0.01, 0.04)
        image = np.where(cracks, image * 0.55, image)
    return np.clip(image, 0.05, 1)


def paving_texture(rng: np.random.Generator) -> Floats:
    """Sample slabs or cobbles with dark joints; one tile is about 2 m."""
    image = speckle_texture(rng, rng.uniform(0.65, 0.85), rng.uniform(0.03, 0.1))
    step_x, step_y = rng.choice([16, 32, 64], 2)
    row, column = np.mgrid[:TEXTURE_PX, :TEXTURE_PX]
    shifted = column + (row // step_y % 2) * (step_x // 2) * rng.integers(0, 2)
    tones = rng.uniform(0.85, 1.1, (TEXTURE_PX // step_y, TEXTURE_PX // step_x))
    image *= tones[row // step_y, shifted // step_x % (TEXTURE_PX // step_x)]
    joints = (row % step_y < 2) | (shifted % step_x < 2)
    return np.clip(np.where(joints, image * rng.uniform(0.4, 0.8), image), 0.02, 1)


def grass_texture(rng: np.random.Generator) -> Floats:
    """Sample rough ground cover, leaves or gravel."""
    return np.clip(
        0.55 * (1 + 0.25 * fractal_noise(rng, 0.3, min_value=6) + 0.2 * fractal_noise(rng, 1.2)), 0.05, 1
    )


def leaf_texture(rng: np.random.Generator) -> Floats:
    """Sample foliage: bright leaves and dark gaps."""
    depth = fractal_noise(rng, 0.5, min_value=4) + 0.5 * fractal_noise(rng, 1.0)
    return np.clip(0.45 + 0.3 * np.tanh(1.5 * depth), 0.04, 1)


def brick_texture(rng: np.random.Generator) -> Floats:
    """Sample courses of bricks or boards; one tile is about 1.5 m."""
    height, width = rng.choice([8, 16]), rng.choice([16, 32, 128])
    row, column = np.mgrid[:TEXTURE_PX, :TEXTURE_PX]
    shifted = (column + (row // height % 2) * (width // 2)) // width % (TEXTURE_PX // width)
    tones = rng.uniform(0.7, 1.0, (TEXTURE_PX // height, TEXTURE_PX // width))
    image = tones[row // height, shifted] * (1 + 0.06 * fractal_noise(rng, 0.4))
    joint = (row % height < 1) | ((column + (row // height % 2) * (width // 2)) % width < 1)
    return np.clip(np.where(joint, rng.uniform(0.4, 1.0), image), 0.05, 1)


def cloth_texture(rng: np.random.Generator) -> Floats:
    """Sample plain, striped, checked or blotched cloth; one tile is about 1 m."""
    row, column = np.mgrid[:TEXTURE_PX, :TEXTURE_PX]
    image = 0.8 + 0.08 * fractal_noise(rng, 0.8)
    pattern = rng.integers(4)
    if pattern == 1:
        image *= np.where(row // rng.choice([4, 8, 16]) % 2, 1.0, rng.uniform(0.3, 0.8))
    elif pattern == 2:
        size = rng.choice([4, 8, 16])
        image *= 1 - rng.uniform(0.1, 0.35) * ((row // size % 2) + (column // size % 2))
    elif pattern == 3:
        image *= np.where(fractal_noise(rng, 1.4) > rng.uniform(0, 1), 1.0, rng.uniform(0.3, 0.8))
    return np.asarray(np.clip(image, 0.03, 1))


def cloud_texture(rng: np.random.Generator) -> Floats:
    """Sample clouds: 1 white, 0 clear."""
    cover = rng.uniform(-1, 1)
    return np.asarray(
        np.clip(0.5 + 0.45 * (fractal_noise(rng, 1.7, stretch=rng.uniform(0.5, 1)) + cover), 0, 1)
    )


def sign_texture(rng: np.random.Generator) -> Floats:
    """Sample a round or square sign with marks."""
    row, column = (np.mgrid[:TEXTURE_PX, :TEXTURE_PX] - (TEXTURE_PX - 1) / 2) / (TEXTURE_PX / 2)
    radius = np.hypot(row, column) if rng.random() < 0.5 else np.maximum(np.abs(row), np.abs(column))
    image = np.where(radius > rng.uniform(0.7, 0.88), rng.uniform(0.1, 0.4), rng.uniform(0.7, 1.0))
    mark = (np.abs(row) < rng.uniform(0.1, 0.5)) & (np.abs(column) < rng.uniform(0.1, 0.6))
    blocks = np.kron(rng.random((8, 8)) < 0.5, np.ones((16, 16))).astype(bool)
    return np.where(mark & blocks, rng.uniform(0.05, 0.3), image)


def poster_texture(rng: np.random.Generator) -> Floats:
    """Sample an advertisement or a lorry's or bus's side: patches of tone and rows of lettering."""
    image = np.full((TEXTURE_PX, TEXTURE_PX), rng.uniform(0.3, 0.95))
    for _ in range(rng.integers(1, 6)):
        top, left = rng.integers(0, TEXTURE_PX - 16, 2)
        height, width = rng.integers(8, 70, 2)
        image[top : top + height, left : left + width] = rng.uniform(0.05, 1)
    for _ in range(rng.integers(0, 4)):
        top, left, size = rng.integers(0, 110), rng.integers(0, 60), int(rng.choice([1, 2, 4]))
        letters = rng.random((4, 48 // size)) < 0.55
        block = np.kron(letters, np.ones((size, size))).astype(bool)
        target = image[top : top + block.shape[0], left : left + block.shape[1]]
        target[block[: target.shape[0], : target.shape[1]]] = rng.uniform(0, 1)
    return np.asarray(np.clip(image * (1 + 0.03 * fractal_noise(rng, 0.8)), 0.03, 1))


def rim_texture(rng: np.random.Generator) -> Floats:
    """Sample a wheel rim with spokes."""
    row, column = (np.mgrid[:TEXTURE_PX, :TEXTURE_PX] - (TEXTURE_PX - 1) / 2) / (TEXTURE_PX / 2)
    spokes = np.cos(np.arctan2(row, column) * rng.integers(4, 9)) > rng.uniform(-0.5, 0.5)
    radius = np.hypot(row, column)
    return np.where((radius > 0.85) | (radius < 0.25) | spokes, rng.uniform(0.5, 0.9), rng.uniform(0.03, 0.3))
