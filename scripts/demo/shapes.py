"""Triangle meshes of the demo street, in metres, x right, y up, z forward; N triangles, K corners."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scripts.demo.textures import Texture

Floats = NDArray[np.float64]

EYE = np.array([0.0, 2.3, 0.0])
"""Where the camera stands, metres; faces are lit on the side that it sees."""

SUN = np.array([-0.45, 0.8, -0.4])
"""Unit vector towards the sun, from behind the camera's left shoulder."""

AMBIENT, DIRECT = 0.5, 0.7
"""Shares of sky light and sun light in a face's brightness."""


@dataclass(frozen=True)
class Mesh:
    """Triangles: corners float64 [N, 3, 3] m, uv float64 [N, 3, 2], texture int64 [N], albedo float64 [N]."""

    corners: Floats
    uv: Floats
    texture: NDArray[np.int64]
    albedo: Floats

    def at(self, offset: ArrayLike) -> "Mesh":
        """The mesh moved by an offset [3] in metres."""
        return replace(self, corners=self.corners + np.asarray(offset, np.float64))

    def turned(self, yaw_rad: float) -> "Mesh":
        """The mesh turned about the y axis; its +x axis then points to (cos yaw, 0, sin yaw)."""
        c, s = np.cos(yaw_rad), np.sin(yaw_rad)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        return replace(self, corners=self.corners @ turn)

    def lit(self) -> "Mesh":
        """Albedo times Lambert's cosine law, with normals flipped towards the eye."""
        a, b, c = (self.corners[:, k] for k in range(3))
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
        to_eye = EYE - self.corners.mean(1)
        normal *= np.where((normal * to_eye).sum(1, keepdims=True) < 0, -1.0, 1.0)
        return replace(self, albedo=self.albedo * (AMBIENT + DIRECT * np.clip(normal @ SUN, 0, None)))


def join(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of many."""
    return Mesh(
        np.concatenate([m.corners for m in meshes]),
        np.concatenate([m.uv for m in meshes]),
        np.concatenate([m.texture for m in meshes]),
        np.concatenate([m.albedo for m in meshes]),
    )


def polygon(
    points: ArrayLike, albedo: float, texture: Texture = Texture.PLAIN, uv: ArrayLike | None = None
) -> Mesh:
    """A convex polygon of points [K, 3] m with texture coordinates [K, 2], as a fan of K - 2 triangles."""
    p = np.asarray(points, np.float64)
    q = np.zeros((len(p), 2)) if uv is None else np.asarray(uv, np.float64)
    fan = np.array([(0, k, k + 1) for k in range(1, len(p) - 1)])
    count = len(fan)
    return Mesh(p[fan], q[fan], np.full(count, int(texture)), np.full(count, albedo))


def rectangle(
    origin: ArrayLike,
    along: ArrayLike,
    up: ArrayLike,
    albedo: float,
    texture: Texture = Texture.PLAIN,
    repeats: tuple[float, float] = (1.0, 1.0),
) -> Mesh:
    """A parallelogram from a corner and two edge vectors; the texture repeats along each of them."""
    o, a, b = (np.asarray(v, np.float64) for v in (origin, along, up))
    u, v = repeats
    return polygon([o, o + a, o + a + b, o + b], albedo, texture, [(0, 0), (u, 0), (u, v), (0, v)])


def disc(
    center: ArrayLike, radius: float, albedo: float, texture: Texture = Texture.PLAIN, spin_rad: float = 0.0
) -> Mesh:
    """A 16-sided disc facing -z; its texture is turned by spin_rad."""
    angle = np.arange(16) * (np.pi / 8)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(16)], 1)
    turned = np.stack([np.cos(angle + spin_rad), np.sin(angle + spin_rad)], 1)
    return polygon(np.asarray(center) + radius * ring, albedo, texture, 0.5 + 0.49 * turned)


def capsule(start: ArrayLike, end: ArrayLike, radii: tuple[float, float], albedo: float) -> Mesh:
    """A round-ended limb between two points, drawn as a shaded outline that faces the eye."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    axis = (b - a) / (np.linalg.norm(b - a) + 1e-9)
    side = np.cross(axis, EYE - (a + b) / 2)
    side /= np.linalg.norm(side)
    bow = np.linspace(0, np.pi, 6)[:, None]
    foot = a + radii[0] * (np.cos(bow) * side - np.sin(bow) * axis)
    head = b + radii[1] * (-np.cos(bow) * side + np.sin(bow) * axis)
    across = 0.5 + 0.48 * np.cos(bow[:, 0])
    uv = np.stack([np.concatenate([across, 1 - across]), np.repeat([0.0, 1.0], 6)], 1)
    return polygon(np.concatenate([foot, head]), albedo, Texture.ROUND, uv)
