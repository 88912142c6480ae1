"""Pinhole camera: views, projection and frustum culling."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.geometry.mesh import Floats


@dataclass(frozen=True, slots=True)
class LensEffects:
    """Effects between the camera and the scene.

    Attributes:
        in_car: whether the camera is in a car.
        glare: strength of the dashboard's reflection.
        dashboard: upper edge of the dashboard as a share of the image height, below 0 for none.
        wiper_hz: frequency of the wiper, 0 for none.
    """

    in_car: bool = False
    glare: float = 0.0
    dashboard: float = -1.0
    wiper_hz: float = 0.0


_NEAR_M, _FAR_M = 0.12, 600.0


@dataclass(frozen=True, slots=True)
class CameraView:
    """Pose and focal length of a camera; rotation [3, 3] has columns right, up and backward in the world."""

    eye: Floats
    rotation: Floats
    focal_px: float


def view_from_angles(eye: Floats, yaw: float, pitch: float, roll: float, focal_px: float) -> CameraView:
    """Return a view along yaw (counter-clockwise from +x) and pitch (upwards), rolled clockwise; radians."""
    ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    up = np.cross(right, ahead)
    cos, sin = np.cos(roll), np.sin(roll)
    return CameraView(eye, np.stack([cos * right - sin * up, sin * right + cos * up, -ahead], 1), focal_px)


def look_at(eye: Floats, target: Floats, focal_px: float) -> CameraView:
    """Return a level view from eye to target [3]."""
    x, y, z = target - eye
    return view_from_angles(eye, float(np.arctan2(y, x)), float(np.arctan2(z, np.hypot(x, y))), 0.0, focal_px)


def focal_length_px(width: int, view_degrees: float) -> float:
    """Return the focal length in pixels for a horizontal field of view."""
    return float(width / 2 / np.tan(np.radians(view_degrees) / 2))


def projection_matrix(view: CameraView, width: int, height: int) -> Floats:
    """Return the matrix [4, 4] from world points to OpenGL's clip space."""
    lens = np.zeros((4, 4))
    lens[0, 0], lens[1, 1] = 2 * view.focal_px / width, 2 * view.focal_px / height
    lens[2, 2] = -(_FAR_M + _NEAR_M) / (_FAR_M - _NEAR_M)
    lens[2, 3] = -2 * _FAR_M * _NEAR_M / (_FAR_M - _NEAR_M)
    lens[3, 2] = -1
    return lens @ view_matrix(view)


def view_matrix(view: CameraView) -> Floats:
    """Return the matrix [4, 4] from the world to the camera's frame."""
    matrix = np.eye(4)
    matrix[:3, :3] = view.rotation.T
    matrix[:3, 3] = -view.rotation.T @ view.eye
    return matrix


def ray_matrix(view: CameraView, width: int, height: int) -> Floats:
    """Return the matrix [4, 4] from an image point (x, y, 0, 1) in -1..1 to its viewing direction."""
    matrix = np.zeros((4, 4))
    matrix[:3, 0] = view.rotation[:, 0] * width / 2 / view.focal_px
    matrix[:3, 1] = view.rotation[:, 1] * height / 2 / view.focal_px
    matrix[:3, 3] = -view.rotation[:, 2]
    return matrix


def in_frustum(matrix: Floats, centres: Floats, radii: Floats) -> NDArray[np.bool_]:
    """Return whether spheres at centres [N, 3] intersect the frustum of a projection matrix, [N]."""
    planes = np.stack([matrix[3] + matrix[0], matrix[3] - matrix[0], matrix[3] + matrix[1],
                       matrix[3] - matrix[1], matrix[3] + matrix[2]])  # fmt: skip
    planes = planes / np.linalg.norm(planes[:, :3], axis=1, keepdims=True)
    distances = centres @ planes[:, :3].T + planes[:, 3]
    return np.asarray((distances > -radii[:, None]).all(1))
