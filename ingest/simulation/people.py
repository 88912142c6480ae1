"""Pedestrians of the simulator's own making: jointed figures of tubes, baked over one cycle of their gait.

The gait is a sum of sines: thighs swing against each other, knees bend as a leg comes forward, arms swing
against the legs, and the hips rise twice a cycle (after Perry, "Gait Analysis", 1992, in rough strokes).
"""

from dataclasses import dataclass

import numpy as np

from ingest.simulation.bodies import Body, with_normals
from ingest.simulation.mesh import LAYER, PAINT, Floats, Ints, Mesh, join, paint
from ingest.simulation.shapes import blob, boxes, skin, tubes

REGIONS = ("skin", "legs", "shoes", "top", "hair", "bag", "hat")
"""Parts that are coloured apart; the first five are those of mesh folders."""
PHASES = 16
GAITS = ("walk", "run", "stand", "ride")


@dataclass(frozen=True, slots=True)
class Build:
    """A figure: height and girth, and what it wears. Girth 1 is slim."""

    height_m: float
    girth: float
    skirt: float
    coat: float
    bag: int
    hat: int
    hair: float


def draw_build(rng: np.random.Generator, child: bool) -> Build:
    """A figure as people come."""
    height = rng.uniform(0.95, 1.45) if child else float(np.clip(rng.normal(1.7, 0.095), 1.48, 1.97))
    return Build(
        height_m=height,
        girth=rng.uniform(0.95, 1.5),
        skirt=rng.uniform(0.35, 0.95) if rng.random() < 0.18 else 0.0,
        coat=rng.uniform(0.15, 0.75) if rng.random() < 0.35 else 0.0,
        bag=int(rng.integers(1, 5)) if rng.random() < 0.45 else 0,
        hat=int(rng.integers(1, 4)) if rng.random() < 0.3 else 0,
        hair=rng.uniform(0.0, 1.0),
    )


@dataclass(frozen=True, slots=True)
class Figure:
    """A person without colours: regions [V] says which garment (see REGIONS) each vertex belongs to."""

    mesh: Mesh
    cycle: Floats
    regions: Ints
    height_m: float
    stride_m: float


def make_figure(rng: np.random.Generator, gait: str, child: bool = False) -> Figure:
    """A figure of a gait in GAITS; "ride" sits and pedals. Its cycle has PHASES phases."""
    build = draw_build(rng, child)
    codes = {name: paint(layer=index) for index, name in enumerate(REGIONS)}
    seed = int(rng.integers(1 << 31))
    swing = rng.uniform(0.85, 1.15)
    frames = []
    for phase in np.arange(PHASES) / PHASES * 2 * np.pi:
        joints = _joints(build, gait, float(phase), swing)
        frames.append(_figure(np.random.default_rng(seed), build, joints, codes))
    points = np.stack([frame.points for frame in frames]).astype(np.float32)
    first = frames[0]
    stride = build.height_m * {"walk": 0.83, "run": 1.5, "stand": 1.0, "ride": 5.0}[gait]
    regions = first.vertices[:, LAYER].astype(np.int32)
    return Figure(first, with_normals(points, first), regions, build.height_m, stride)


def dress(rng: np.random.Generator, figure: Figure, cloth_layers: list[int]) -> Body:
    """The figure in clothes, as a body."""
    palette = np.stack([_garment(rng, name, cloth_layers) for name in REGIONS])
    vertices = figure.mesh.vertices.copy()
    vertices[:, PAINT] = palette[figure.regions]
    size = (0.4 * figure.height_m, 0.32 * figure.height_m, figure.height_m)
    return Body((Mesh(vertices, figure.mesh.faces),), size, cycle=figure.cycle, stride_m=figure.stride_m)


def _garment(rng: np.random.Generator, region: str, cloth_layers: list[int]) -> Floats:
    if region == "skin":
        return paint(albedo=rng.uniform(0.12, 0.6))
    if region == "hair":
        return paint(albedo=rng.choice([0.03, 0.06, 0.15, 0.4]))
    if region == "shoes":
        return paint(albedo=rng.choice([0.03, 0.1, 0.8]))
    if region == "legs":
        return paint(albedo=rng.choice([0.04, 0.07, 0.12, 0.25, 0.5]))
    return paint(int(rng.choice(cloth_layers)), float(rng.choice([0.04, 0.09, 0.16, 0.3, 0.5, 0.8])))


def _joints(build: Build, gait: str, phase: float, swing: float) -> dict[str, Floats]:
    """Where the joints are at a phase, left (l) and right (r); x ahead, feet about z = 0."""
    h = build.height_m
    hip_w, shoulder_w = 0.055 * h * build.girth, (0.105 * h) * (0.8 + 0.2 * build.girth)
    thigh, shin = 0.245 * h, 0.246 * h
    reach = {"walk": 0.44, "run": 0.75, "stand": 0.04, "ride": 0.5}[gait] * swing
    lean = {"walk": 0.04, "run": 0.16, "stand": 0.0, "ride": 0.55}[gait]
    bend = {"walk": 0.9, "run": 1.6, "stand": 0.05, "ride": 0.0}[gait]
    joints: dict[str, Floats] = {}
    lowest = 0.0
    for side, sign, shift in (("l", 1, 0.0), ("r", -1, np.pi)):
        angle = phase + shift
        if gait == "ride":
            up, knee = 1.05 + reach * np.sin(angle), 1.35 + 0.45 * np.sin(angle + 0.4)
        else:
            up = reach * np.sin(angle) + 0.03
            knee = bend * max(0.0, np.cos(angle)) ** 1.5 * 0.75 + 0.08
        hip = np.array([0.0, sign * hip_w, 0.0])
        knee_at = hip + thigh * np.array([np.sin(up), 0, -np.cos(up)])
        ankle = knee_at + shin * np.array([np.sin(up - knee), 0, -np.cos(up - knee)])
        toe_up = 0.25 * np.sin(angle) if gait != "stand" else 0.0
        toe = ankle + 0.13 * h * np.array([np.cos(toe_up), 0, np.sin(toe_up)]) + [0, sign * 0.012 * h, -0.02 * h]
        joints |= {f"hip_{side}": hip, f"knee_{side}": knee_at, f"ankle_{side}": ankle, f"toe_{side}": toe}
        lowest = min(lowest, float(ankle[2]))
    spine = np.array([np.sin(lean), 0.0, np.cos(lean)])
    joints["chest"], joints["neck"] = spine * 0.22 * h, spine * 0.315 * h
    joints["head"] = joints["neck"] + np.array([0.02 * h + 0.04 * lean, 0, 0.088 * h])
    for side, sign, shift in (("l", 1, np.pi), ("r", -1, 0.0)):
        shoulder = spine * 0.285 * h + [0, sign * shoulder_w, 0]
        swing_a = 1.0 if gait == "ride" else 0.8 * reach * np.sin(phase + shift)
        fold = 0.25 if gait == "ride" else 0.25 + (1.2 if gait == "run" else 0.3 * max(0.0, np.sin(phase + shift)))
        elbow = shoulder + 0.175 * h * np.array([np.sin(swing_a), sign * 0.12, -np.cos(swing_a)])
        hand = elbow + 0.19 * h * np.array([np.sin(swing_a + fold), -sign * 0.02, -np.cos(swing_a + fold)])
        joints |= {f"shoulder_{side}": shoulder, f"elbow_{side}": elbow, f"hand_{side}": hand}
    ground = 0.95 if gait == "ride" else -lowest + 0.045 * h
    return {name: at + [0, 0, ground] for name, at in joints.items()}


def _figure(rng: np.random.Generator, build: Build, at: dict[str, Floats], colours: dict[str, Floats]) -> Mesh:
    """The figure in one pose; the same rng state and build give the same faces for any pose."""
    h, g = build.height_m, build.girth
    bare = build.skirt > 0 or rng.random() < 0.12
    bones = [("hip", "knee", 0.047 * g, 0.034 * g, "legs"), ("knee", "ankle", 0.033 * g, 0.022, "skin" if bare else "legs"),
             ("ankle", "toe", 0.026, 0.02, "shoes"), ("shoulder", "elbow", 0.029 * g, 0.024 * g, "top"),
             ("elbow", "hand", 0.024 * g, 0.017, "top" if rng.random() < 0.7 else "skin")]  # fmt: skip
    starts, ends, radii, paints = [], [], [], []
    for first, last, wide, narrow, part in bones:
        for side in "lr":
            starts.append(at[f"{first}_{side}"])
            ends.append(at[f"{last}_{side}"])
            radii.append((wide * h, narrow * h))
            paints.append(colours[part])
    start_radii, end_radii = np.array(radii).T
    limbs = tubes(starts, ends, start_radii, end_radii, np.array(paints), sides=6, caps=True)
    return join([limbs, _torso(build, at, colours), _head(rng, build, at, colours), *_extras(rng, build, at, colours)])


def _torso(build: Build, at: dict[str, Floats], colours: dict[str, Floats]) -> Mesh:
    """Rings from below the hips to the neck; a coat or a skirt reaches further down and swings with the legs."""
    h, g = build.height_m, build.girth
    hips = (at["hip_l"] + at["hip_r"]) / 2
    down = max(build.coat, build.skirt)
    knees = (at["knee_l"] + at["knee_r"]) / 2
    hem = hips + (knees - hips) * max(down, 0.18)
    spread = 0.5 * abs(at["knee_l"][0] - at["knee_r"][0]) * down
    widths = [(0.075 * g + 0.03 * down, 0.062 * g + 0.02 * down), (0.088 * g, 0.068 * g), (0.078 * g, 0.058 * g),
              (0.1 * (0.8 + 0.2 * g), 0.066 * g), (0.098, 0.05), (0.033, 0.033)]  # fmt: skip
    centres = [hem, hips, hips + 0.35 * (at["chest"] - hips), at["chest"], at["chest"] * 0.3 + at["neck"] * 0.7, at["neck"]]
    angle = np.arange(9) * 2 * np.pi / 8
    rings = []
    for index, ((wide, deep), centre) in enumerate(zip(widths, centres, strict=True)):
        ahead = deep * h + (spread if index == 0 else 0)
        ring = np.stack([ahead * np.cos(angle), wide * h * np.sin(angle), 0 * angle], -1)
        rings.append(ring + centre)
    grid = np.stack(rings, 1)
    paints = np.empty((8, 5, 4), np.float32)
    paints[:] = colours["top"]
    if build.coat == 0:
        paints[:, 0] = colours["hat"] if build.skirt > 0 else colours["legs"]
    uv = np.stack(np.broadcast_arrays(angle[:, None] * 0.15, np.array([0, 0.2, 0.35, 0.5, 0.6, 0.65])[None]), -1)
    return skin(grid, paints, uv)


def _head(rng: np.random.Generator, build: Build, at: dict[str, Floats], colours: dict[str, Floats]) -> Mesh:
    h = build.height_m
    size = h * (0.058 + 0.012 * (1.75 - h))
    parts = [tubes(at["neck"] - [0, 0, 0.02 * h], at["head"], 0.03 * h, 0.03 * h, colours["skin"], sides=5)]
    face, hair = blob(rng, colours["skin"], 0.02, 7, 5), blob(rng, colours["hair"], 0.05, 7, 4)
    parts.append(_stretched(face, at["head"], (size * 1.05, size * 0.85, size * 1.25)))
    long = 1 + 0.5 * build.hair
    top = at["head"] + [-0.25 * size, 0, 0.28 * size - 0.4 * size * (long - 1)]
    parts.append(_stretched(hair, top, (size * 0.98, size * 0.95, size * 1.05 * long)))
    if build.hat:
        brim = (0.9, 1.5, 1.15)[build.hat - 1]
        base = at["head"] + [0, 0, 0.55 * size]
        parts.append(tubes(base, base + [0, 0, 0.9 * size], size * 1.08, size * 0.85, colours["hat"], 7, caps=True))
        parts.append(tubes(base, base + [0, 0, 0.15 * size], size * brim, size * brim, colours["hat"], 7, caps=True))
    return join(parts)


def _extras(rng: np.random.Generator, build: Build, at: dict[str, Floats], colours: dict[str, Floats]) -> list[Mesh]:
    """A rucksack, a shoulder bag, a carrier bag or a case on wheels."""
    h = build.height_m
    if build.bag == 1:
        return [boxes(at["chest"] + [-0.11 * h, 0, -0.1 * h], [[0.09 * h, 0.17 * h, 0.24 * h]], colours["bag"], sides=6)]
    if build.bag == 2:
        return [boxes(at["hip_l"] + [0, 0.07 * h, -0.08 * h], [[0.16 * h, 0.05 * h, 0.13 * h]], colours["bag"], sides=6)]
    if build.bag == 3:
        return [boxes(at["hand_r"] + [0, 0, -0.22 * h], [[0.15 * h, 0.06 * h, 0.2 * h]], colours["bag"], sides=6)]
    if build.bag == 4:
        low = at["hand_r"] * [1, 1, 0] + [-0.35, -0.05, 0.05]
        handle = tubes(low + [0, 0, 0.5], at["hand_r"], 0.012, 0.012, colours["shoes"], 3)
        return [boxes(low, [[0.22, 0.36, 0.52]], colours["bag"], sides=6), handle]
    return []


def _stretched(mesh: Mesh, at: Floats, size: tuple[float, float, float]) -> Mesh:
    vertices = mesh.vertices.copy()
    vertices[:, :3] = mesh.points * size + at
    return Mesh(vertices, mesh.faces)
