"""A pinhole camera that trembles a little: where points of the street fall on the sensor."""

from dataclasses import dataclass

import numpy as np

from scripts.demo.shapes import EYE, Floats

WIDTH, HEIGHT = 304, 240
FOCAL_PX = 265.0
NEAR_M = 0.3


@dataclass(frozen=True)
class Pose:
    """How the camera stands away from its resting place: radians and metres."""

    yaw_rad: float = 0.0
    pitch_rad: float = 0.0
    roll_rad: float = 0.0
    forward_m: float = 0.0


def project(corners: Floats, pose: Pose) -> Floats:
    """Corners [N, 3, 3] m -> x px, y px and 1/z [N, 3, 3]; 1/z is 0 for what lies behind the camera."""
    cy, sy = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
    cp, sp = np.cos(pose.pitch_rad), np.sin(pose.pitch_rad)
    cr, sr = np.cos(pose.roll_rad), np.sin(pose.roll_rad)
    yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    seen = (corners - EYE - np.array([0, 0, pose.forward_m])) @ (roll @ pitch @ yaw).T
    inverse_z = np.where(seen[..., 2] > NEAR_M, 1 / np.maximum(seen[..., 2], NEAR_M), 0.0)
    x = WIDTH / 2 + FOCAL_PX * seen[..., 0] * inverse_z
    y = HEIGHT / 2 - FOCAL_PX * seen[..., 1] * inverse_z
    return np.stack([x, y, inverse_z], -1)
