"""A z-buffered triangle filler; H, W: sensor pixels, Q: SUPERSAMPLING, N: triangles, M, S: see textures."""

from dataclasses import dataclass
from math import floor, log2

import numba
import numpy as np
from numpy.typing import NDArray

from scripts.demo.camera import HEIGHT, WIDTH, Pose, project
from scripts.demo.shapes import Floats, Mesh
from scripts.demo.textures import LEVELS, SIDE, Image

SUPERSAMPLING = 2

SHADOW = -1
"""Owner number of shadows: they darken what lies beneath them and hide nothing."""


@dataclass
class Canvas:
    """Luminance float64, inverse depth float64 and owner int64, each [Q*H, Q*W]."""

    luminance: Floats
    inverse_depth: Floats
    owner: NDArray[np.int64]

    @classmethod
    def blank(cls) -> "Canvas":
        """An empty canvas of the sensor's size, supersampled."""
        shape = (HEIGHT * SUPERSAMPLING, WIDTH * SUPERSAMPLING)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64))

    def clear(self) -> None:
        """Everything infinitely far and owned by nobody."""
        self.luminance.fill(0)
        self.inverse_depth.fill(0)
        self.owner.fill(0)

    def pixels(self) -> Floats:
        """Luminance averaged down to the sensor, [H, W]."""
        q = SUPERSAMPLING
        averaged: Floats = self.luminance.reshape(HEIGHT, q, WIDTH, q).mean((1, 3))
        return averaged

    def extent(self, owner: int) -> tuple[float, float, float, float] | None:
        """x, y, w, h in sensor pixels of what is seen of an owner; None when nothing is."""
        rows, columns = np.nonzero(self.owner == owner)
        if not len(rows):
            return None
        x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
        return tuple(float(v) / SUPERSAMPLING for v in (x0, y0, x1 - x0, y1 - y0))  # type: ignore[return-value]


def draw(canvas: Canvas, mesh: Mesh, owner: int, pose: Pose, textures: Image) -> None:
    """Fill a mesh into the canvas as an owner's; SHADOW multiplies instead of covering."""
    screen = project(mesh.corners, pose) * (SUPERSAMPLING, SUPERSAMPLING, 1.0)
    _fill(
        screen, mesh.uv, mesh.texture, mesh.albedo, owner, textures,
        canvas.luminance, canvas.inverse_depth, canvas.owner,
    )  # fmt: skip


@numba.njit(cache=True, error_model="numpy")
def _gradient(p: Floats, values: Floats, area: float) -> tuple[float, float, float]:
    """Slopes and offset (a, b, c) of the plane value = a x + b y + c through three screen points."""
    d1, d2 = values[1] - values[0], values[2] - values[0]
    a = (d1 * (p[2, 1] - p[0, 1]) - d2 * (p[1, 1] - p[0, 1])) / area
    b = (d2 * (p[1, 0] - p[0, 0]) - d1 * (p[2, 0] - p[0, 0])) / area
    return a, b, values[0] - a * p[0, 0] - b * p[0, 1]


@numba.njit(cache=True, error_model="numpy")
def _span(p: Floats, y: float, width: int) -> tuple[int, int]:
    """Columns [first, last) whose pixel centres on row y lie inside the triangle p [3, 3]."""
    low, high = 1e9, -1e9
    for k in range(3):
        xa, ya, xb, yb = p[k, 0], p[k, 1], p[(k + 1) % 3, 0], p[(k + 1) % 3, 1]
        if (ya <= y) != (yb <= y):
            x = xa + (y - ya) / (yb - ya) * (xb - xa)
            low, high = min(low, x), max(high, x)
    if high < low:
        return 0, 0
    return max(0, int(np.ceil(low - 0.5))), min(width, int(np.ceil(high - 0.5)))


@numba.njit(cache=True, error_model="numpy")
def _sample(texture: Image, level: int, u: float, v: float) -> float:
    """Bilinear look-up with wrap-around in texture [M, S, S]."""
    x, y = u * SIDE - 0.5, v * SIDE - 0.5
    x0, y0 = floor(x), floor(y)
    fx, fy = x - x0, y - y0
    i0, j0 = int(x0) % SIDE, int(y0) % SIDE
    i1, j1 = (i0 + 1) % SIDE, (j0 + 1) % SIDE
    top = texture[level, j0, i0] * (1 - fx) + texture[level, j0, i1] * fx
    bottom = texture[level, j1, i0] * (1 - fx) + texture[level, j1, i1] * fx
    return float(top * (1 - fy) + bottom * fy)


@numba.njit(cache=True, error_model="numpy")
def _fill(
    screen: Floats, uv: Floats, texture: NDArray[np.int64], albedo: Floats, owner: int, textures: Image,
    luminance: Floats, inverse_depth: Floats, owners: NDArray[np.int64],
) -> None:  # fmt: skip
    height, width = luminance.shape
    for n in range(len(screen)):
        p = screen[n]
        area = (p[1, 0] - p[0, 0]) * (p[2, 1] - p[0, 1]) - (p[2, 0] - p[0, 0]) * (p[1, 1] - p[0, 1])
        if abs(area) < 1e-9 or p[:, 2].min() <= 0:
            continue
        # 1/z, u/z and v/z are linear on the screen; u and v themselves are not
        wa, wb, wc = _gradient(p, p[:, 2], area)
        ua, ub, uc = _gradient(p, uv[n, :, 0] * p[:, 2], area)
        va, vb, vc = _gradient(p, uv[n, :, 1] * p[:, 2], area)
        for row in range(max(0, floor(p[:, 1].min())), min(height, floor(p[:, 1].max()) + 1)):
            y = row + 0.5
            first, last = _span(p, y, width)
            if first >= last:
                continue
            x = (first + last) / 2
            w = wa * x + wb * y + wc
            u, v = (ua * x + ub * y + uc) / w, (va * x + vb * y + vc) / w
            step = max(abs(ua - u * wa), abs(ub - u * wb), abs(va - v * wa), abs(vb - v * wb)) / w * SIDE
            level = min(LEVELS - 1, max(0, int(log2(max(step, 1.0)))))
            for column in range(first, last):
                x = column + 0.5
                w = wa * x + wb * y + wc
                if w <= inverse_depth[row, column]:
                    continue
                u, v = (ua * x + ub * y + uc) / w, (va * x + vb * y + vc) / w
                value = albedo[n] * _sample(textures[texture[n]], level, u, v)
                if owner == SHADOW:
                    luminance[row, column] *= value
                else:
                    luminance[row, column] = value
                    inverse_depth[row, column] = w
                    owners[row, column] = owner
