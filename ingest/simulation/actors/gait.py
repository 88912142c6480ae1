"""Gait model: joint positions of a walking, running, standing or riding figure over one cycle.

The gait is a sum of sines: thighs swing in opposition, a knee bends as its leg comes forward, arms swing
opposite to the legs, and the hips rise twice per cycle (simplified from Perry, "Gait Analysis", 1992).
Legend: P phases of a cycle.
"""

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Floats

CYCLE_PHASES = 16
GAITS = ("walk", "run", "stand", "ride")
_SWING_ANGLE = {"walk": 0.44, "run": 0.75, "stand": 0.04, "ride": 0.5}
_LEAN_ANGLE = {"walk": 0.04, "run": 0.16, "stand": 0.0, "ride": 0.55}
_KNEE_BEND_ANGLE = {"walk": 0.9, "run": 1.6, "stand": 0.05, "ride": 0.0}
_SADDLE_M = 0.95


def stride_length_m(gait: str, height_m: float) -> float:
    """Return the metres covered in one cycle; for a rider, in one turn of the pedals."""
    return height_m * {"walk": 0.83, "run": 1.5, "stand": 1.0, "ride": 5.0}[gait]


def joint_positions(gait: str, height_m: float, girth: float, swing: float) -> dict[str, Floats]:
    """Return each joint's position at every phase, [P, 3] in metres: x ahead, feet near z = 0.

    Leg and arm joints have a left and a right one: hip_l, hip_r, knee_l, ...; others are chest, neck, head.
    """
    phase = np.arange(CYCLE_PHASES) / CYCLE_PHASES * 2 * np.pi
    joints = _leg_joints(gait, phase, height_m, 0.055 * height_m * girth, swing)
    lowest = np.minimum(np.minimum(joints["ankle_l"][:, 2], joints["ankle_r"][:, 2]), 0.0)
    joints |= _trunk_joints(gait, phase, height_m, 0.105 * height_m * (0.8 + 0.2 * girth), swing)
    ground = np.full(CYCLE_PHASES, _SADDLE_M) if gait == "ride" else 0.045 * height_m - lowest
    if gait == "run":
        # Runners leave the ground while their legs are spread; walkers always touch it.
        ground = 0.35 * ground + 0.65 * ground.max()
    up = ground[:, None] * [0, 0, 1]
    return {name: position + up for name, position in joints.items()}


def _leg_joints(gait: str, phase: Floats, h: float, hip_w: float, swing: float) -> dict[str, Floats]:
    """Return hips, knees, ankles and toes, with the centre of the hips at the origin."""
    joints: dict[str, Floats] = {}
    reach = _SWING_ANGLE[gait] * swing
    for side, sign, shift in (("l", 1.0, 0.0), ("r", -1.0, np.pi)):
        angle = phase + shift
        if gait == "ride":
            up, knee = 1.05 + reach * np.sin(angle), 1.35 + 0.45 * np.sin(angle + 0.4)
        else:
            up = reach * np.sin(angle) + 0.03
            knee = _KNEE_BEND_ANGLE[gait] * np.maximum(0.0, np.cos(angle)) ** 1.5 * 0.75 + 0.08
        toe_up = 0.0 * angle if gait == "stand" else 0.25 * np.sin(angle)
        hip = np.zeros((len(phase), 3)) + np.array([0, sign * hip_w, 0])
        knee_at = hip + 0.245 * h * _hanging_direction(up)
        ankle = knee_at + 0.246 * h * _hanging_direction(up - knee)
        toe = ankle + 0.13 * h * np.stack([np.cos(toe_up), 0 * angle, np.sin(toe_up)], -1)
        joints |= {f"hip_{side}": hip, f"knee_{side}": knee_at, f"ankle_{side}": ankle}
        joints[f"toe_{side}"] = toe + np.array([0, sign * 0.012 * h, -0.02 * h])
    return joints


def _trunk_joints(gait: str, phase: Floats, h: float, shoulder_w: float, swing: float) -> dict[str, Floats]:
    """Return chest, neck, head and arms."""
    lean, reach = _LEAN_ANGLE[gait], _SWING_ANGLE[gait] * swing
    spine = np.zeros((len(phase), 3)) + np.array([np.sin(lean), 0.0, np.cos(lean)])
    joints = {"chest": spine * 0.22 * h, "neck": spine * 0.315 * h}
    joints["head"] = joints["neck"] + [0.02 * h + 0.04 * lean, 0, 0.088 * h]
    for side, sign, shift in (("l", 1.0, np.pi), ("r", -1.0, 0.0)):
        ahead = np.maximum(0.0, np.sin(phase + shift))
        swung = 0 * phase + 1.0 if gait == "ride" else 0.8 * reach * np.sin(phase + shift)
        fold = 0.25 + {"ride": 0.0 * ahead, "run": 1.2 + 0 * ahead}.get(gait, 0.3 * ahead)
        shoulder = spine * 0.268 * h + [0, sign * shoulder_w, 0]
        elbow = shoulder + 0.175 * h * (_hanging_direction(swung) + np.array([0, sign * 0.12, 0]))
        hand = elbow + 0.19 * h * (_hanging_direction(swung + fold) + np.array([0, -sign * 0.02, 0]))
        joints |= {f"shoulder_{side}": shoulder, f"elbow_{side}": elbow, f"hand_{side}": hand}
    return joints


def _hanging_direction(angle: Floats) -> Floats:
    """Return unit vectors [P, 3] that point down, swung ahead by angle [P]."""
    return np.stack([np.sin(angle), 0 * angle, -np.cos(angle)], -1)
