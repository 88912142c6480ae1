"""Walking people as meshes: limbs that face the eye, joints that swing with the way gone."""

from dataclasses import dataclass

import numpy as np

from scripts.demo.shapes import Floats, Mesh, capsule, join


@dataclass(frozen=True)
class Person:
    """Height in metres, step cycle in metres and reflectances of clothes and skin."""

    height: float
    coat: float
    trousers: float
    skin: float = 0.42
    hair: float = 0.05
    cycle_m: float = 1.45
    bag: bool = False


def _leg(hip: Floats, swing_rad: float, bend_rad: float, forward: Floats, scale: float, look: Person) -> Mesh:
    up = np.array([0.0, 1.0, 0.0])
    knee = hip + scale * 0.43 * (np.sin(swing_rad) * forward - np.cos(swing_rad) * up)
    shin = swing_rad - bend_rad
    ankle = knee + scale * 0.42 * (np.sin(shin) * forward - np.cos(shin) * up)
    shoe = ankle + scale * 0.15 * forward - 0.03 * up
    thigh = capsule(hip, knee, (0.09 * scale, 0.07 * scale), look.trousers)
    calf = capsule(knee, ankle, (0.068 * scale, 0.05 * scale), look.trousers)
    return join([thigh, calf, capsule(ankle, shoe, (0.045, 0.045), 0.04)])


def _arm(shoulder: Floats, swing_rad: float, forward: Floats, scale: float, look: Person) -> Mesh:
    up = np.array([0.0, 1.0, 0.0])
    elbow = shoulder + scale * 0.29 * (np.sin(swing_rad) * forward - np.cos(swing_rad) * up)
    fore = swing_rad + 0.45
    hand = elbow + scale * 0.25 * (np.sin(fore) * forward - np.cos(fore) * up)
    sleeve = [capsule(shoulder, elbow, (0.06, 0.05), look.coat * 0.85)]
    sleeve.append(capsule(elbow, hand, (0.05, 0.04), look.coat * 0.85))
    return join([*sleeve, capsule(hand, hand + 0.06 * (hand - elbow), (0.045, 0.04), look.skin)])


def walker(look: Person, ground: Floats, travelled_m: float, yaw_rad: float) -> Mesh:
    """A person in mid-stride above a point [3] m, after travelled_m along (cos yaw, 0, sin yaw)."""
    phase = 2 * np.pi * travelled_m / look.cycle_m
    forward = np.array([np.cos(yaw_rad), 0.0, np.sin(yaw_rad)])
    left = np.array([-np.sin(yaw_rad), 0.0, np.cos(yaw_rad)])
    up = np.array([0.0, 1.0, 0.0])
    scale = look.height / 1.75
    hips = ground + up * scale * (0.88 + 0.02 * np.cos(2 * phase))
    chest = hips + up * scale * 0.5 + forward * 0.04
    crown = chest + up * scale * 0.35 + (0, 0, -0.02)
    parts = [
        capsule(hips + up * 0.02, chest, (0.15 * scale, 0.19 * scale), look.coat),
        capsule(chest, chest + up * scale * 0.2, (0.06, 0.055), look.skin * 0.8),
        capsule(chest + up * 0.24 * scale, chest + up * 0.31 * scale, (0.095, 0.105), look.skin),
        capsule(crown - forward * 0.04, crown - forward * 0.03, (0.1, 0.1), look.hair),
    ]
    for side, offset in ((1, 0.0), (-1, np.pi)):
        swing = 0.48 * np.sin(phase + offset)
        bend = 0.12 + 0.85 * max(0.0, float(np.cos(phase + offset - 0.35)))
        parts.append(_leg(hips + side * 0.09 * left, swing, bend, forward, scale, look))
        parts.append(_arm(chest + side * 0.2 * left, -0.9 * swing - 0.1, forward, scale, look))
    if look.bag:
        satchel = hips - up * 0.1 - 0.24 * left
        parts.append(capsule(satchel - 0.1 * forward, satchel + 0.1 * forward, (0.13, 0.13), 0.06))
    return join(parts)
