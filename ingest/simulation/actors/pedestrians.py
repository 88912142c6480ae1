"""Pedestrians of the simulator's own making: jointed figures of tubes, baked over one cycle of their gait.

Legend: P phases of a cycle, V vertices.
"""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import Body, simplified_cycle, with_normals
from spikewatch.ingest.simulation.actors.gait import PHASES, joints, stride_m
from spikewatch.ingest.simulation.geometry.mesh import LAYER, PAINT, POINT, Floats, Mesh, join, paint
from spikewatch.ingest.simulation.geometry.shapes import blob, boxes, quad_corners, skin, tubes

REGIONS = ("skin", "legs", "shoes", "top", "hair", "bag", "hat")
"""Parts that are coloured apart; the first five are those of mesh folders."""
_CODES = {name: paint(layer=index) for index, name in enumerate(REGIONS)}
_AROUND = 9
_COARSE_M = 0.19


@dataclass(frozen=True, slots=True)
class Build:
    """A figure: height and girth (1 is slim), and what it wears; skirt and coat as shares of the thigh."""

    height_m: float
    girth: float
    skirt: float
    coat: float
    bag: str
    hat: float
    hair: float
    bare_legs: bool
    bare_arms: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """A person without colours, fine and coarse: meshes, and their points and normals [P, V, 6] over a cycle.

    The layer of a vertex says which of REGIONS it belongs to.
    """

    meshes: tuple[Mesh, Mesh]
    cycles: tuple[Floats, Floats]
    height_m: float
    stride_m: float


Moving = tuple[Mesh, Floats]
"""A mesh at the first phase, and its points [P, V, 3] at all."""


def draw_build(rng: np.random.Generator, child: bool) -> Build:
    """A figure as people come."""
    height = rng.uniform(0.95, 1.45) if child else float(np.clip(rng.normal(1.7, 0.095), 1.48, 1.97))
    skirt = rng.uniform(0.35, 0.95) if rng.random() < 0.18 else 0.0
    return Build(
        height_m=height,
        girth=rng.uniform(0.95, 1.5),
        skirt=skirt,
        coat=rng.uniform(0.15, 0.75) if rng.random() < 0.35 else 0.0,
        bag=str(
            rng.choice(["none", "rucksack", "shoulder", "carrier", "case"], p=[0.55, 0.15, 0.12, 0.1, 0.08])
        ),
        hat=float(rng.choice([0.0, 0.9, 1.15, 1.5], p=[0.7, 0.1, 0.1, 0.1])),
        hair=rng.uniform(0.0, 1.0),
        bare_legs=bool(skirt > 0 or rng.random() < 0.12),
        bare_arms=bool(rng.random() < 0.3),
    )


def make_figure(rng: np.random.Generator, gait: str, child: bool = False) -> Figure:
    """A figure of a gait in `gait.GAITS`; "ride" sits and pedals. Its cycle has PHASES phases."""
    build = draw_build(rng, child)
    at = joints(gait, build.height_m, build.girth, rng.uniform(0.85, 1.15))
    parts = [_limbs(build, at), _torso(build, at), *_head(rng, build, at), *_bag(build, at)]
    mesh = join(part for part, _ in parts)
    points = np.concatenate([moved for _, moved in parts], 1).astype(np.float32)
    return make_coarse(mesh, with_normals(points, mesh), build.height_m, stride_m(gait, build.height_m))


def make_coarse(mesh: Mesh, cycle: Floats, height_m: float, stride: float) -> Figure:
    """A figure of a mesh and its cycle [P, V, 6], with a coarser copy of both."""
    coarse, far_cycle = simplified_cycle(mesh, cycle[..., :3], np.full(len(mesh.vertices), _COARSE_M))
    return Figure((mesh, coarse), (cycle, far_cycle), height_m, stride)


def dress(rng: np.random.Generator, figure: Figure, cloth_layers: list[int]) -> Body:
    """The figure in clothes, as a body."""
    palette = np.stack([_garment(rng, name, cloth_layers) for name in REGIONS])
    levels = []
    for mesh in figure.meshes:
        vertices = mesh.vertices.copy()
        vertices[:, PAINT] = palette[mesh.vertices[:, LAYER].astype(int)]
        levels.append(Mesh(vertices, mesh.faces))
    size = (0.4 * figure.height_m, 0.32 * figure.height_m, figure.height_m)
    return Body(tuple(levels), size, cycles=figure.cycles, stride_m=figure.stride_m)


def _garment(rng: np.random.Generator, region: str, cloth_layers: list[int]) -> Floats:
    tones = {
        "hair": [0.03, 0.06, 0.15, 0.4],
        "shoes": [0.03, 0.1, 0.8],
        "legs": [0.04, 0.07, 0.12, 0.25, 0.5],
    }
    if region == "skin":
        return paint(albedo=rng.uniform(0.12, 0.6))
    if region in tones:
        return paint(albedo=rng.choice(tones[region]))
    return paint(int(rng.choice(cloth_layers)), float(rng.choice([0.04, 0.09, 0.16, 0.3, 0.5, 0.8])))


def _limbs(build: Build, at: dict[str, Floats]) -> Moving:
    g, h = build.girth, build.height_m
    bones = [
        ("hip", "knee", (0.047 * g, 0.034 * g), "skin" if build.skirt else "legs"),
        ("knee", "ankle", (0.033 * g, 0.022), "skin" if build.bare_legs else "legs"),
        ("ankle", "toe", (0.026, 0.02), "shoes"),
        ("shoulder", "elbow", (0.026 * g, 0.022 * g), "top"),
        ("elbow", "hand", (0.022 * g, 0.016), "skin" if build.bare_arms else "top"),
    ]
    pairs = [(f"{bone[0]}_{side}", f"{bone[1]}_{side}") for bone in bones for side in "lr"]
    starts, ends = (np.stack([at[pair[k]] for pair in pairs], 1).reshape(-1, 3) for k in (0, 1))
    wide, narrow = (np.tile(np.repeat([radii[k] * h for *_, radii, _ in bones], 2), PHASES) for k in (0, 1))
    paints = np.tile(np.repeat([_CODES[region] for *_, region in bones], 2, axis=0), (PHASES, 1))
    return _first_of(tubes(starts, ends, wide, narrow, paints, sides=5, caps=True))


def _torso(build: Build, at: dict[str, Floats]) -> Moving:
    """Rings from below the hips to the neck; a coat or a skirt reaches down and swings with the legs."""
    h, g = build.height_m, build.girth
    hips, knees = (at["hip_l"] + at["hip_r"]) / 2, (at["knee_l"] + at["knee_r"]) / 2
    down = max(build.coat, build.skirt)
    spread = 0.5 * np.abs(at["knee_l"][:, 0] - at["knee_r"][:, 0]) * down
    shoulders = 0.8 + 0.2 * g
    hem = (0.075 * g + 0.03 * down, 0.062 * g + 0.02 * down)
    sizes = [hem, (0.088 * g, 0.068 * g), (0.078 * g, 0.058 * g),
             (0.1 * shoulders, 0.066 * g), (0.112 * shoulders, 0.05), (0.045, 0.036)]  # fmt: skip
    centres = [hips + (knees - hips) * max(down, 0.18), hips, hips + 0.35 * (at["chest"] - hips), at["chest"],
               at["chest"] * 0.4 + at["neck"] * 0.6, at["neck"]]  # fmt: skip
    angle = np.arange(_AROUND) * 2 * np.pi / (_AROUND - 1)
    rings = np.empty((PHASES, _AROUND, len(sizes), 3))
    for index, ((wide, deep), centre) in enumerate(zip(sizes, centres, strict=True)):
        ahead = deep * h + (spread if index == 0 else 0 * spread)
        rings[:, :, index, 0] = ahead[:, None] * np.cos(angle)
        rings[:, :, index, 1] = wide * h * np.sin(angle)
        rings[:, :, index, 2] = 0.0
        rings[:, :, index] += centre[:, None]
    paints = np.empty((_AROUND - 1, len(sizes) - 1, 4), np.float32)
    paints[:] = _CODES["top"]
    if build.coat == 0:
        paints[:, 0] = _CODES["hat" if build.skirt > 0 else "legs"]
    uv = np.stack(np.broadcast_arrays(angle[:, None] * 0.15, np.array([0, 0.2, 0.35, 0.5, 0.6, 0.65])), -1)
    corners = quad_corners(_AROUND, len(sizes)).ravel()
    return skin(rings[0], paints, uv), rings.reshape(PHASES, -1, 3)[:, corners]


def _head(rng: np.random.Generator, build: Build, at: dict[str, Floats]) -> list[Moving]:
    """Face, hair, neck and hat, carried along with the head."""
    h = build.height_m
    size = h * (0.058 + 0.012 * (1.75 - h))
    neck = tubes([[-0.02 * h, 0, -0.11 * h]], [[0, 0, 0]], 0.03 * h, 0.03 * h, _CODES["skin"], sides=5)
    face = _stretched(
        blob(rng, _CODES["skin"], 0.02, 7, 5), np.zeros(3), (size * 1.05, size * 0.85, size * 1.25)
    )
    long = 1 + 0.5 * build.hair
    top = np.array([-0.25 * size, 0, 0.28 * size - 0.4 * size * (long - 1)])
    hair = _stretched(
        blob(rng, _CODES["hair"], 0.05, 7, 4), top, (size * 0.98, size * 0.95, size * 1.05 * long)
    )
    parts = [neck, face, hair]
    if build.hat:
        base, brim = np.array([[0, 0, 0.55 * size]]), size * build.hat
        up = np.array([0, 0, size])
        parts.append(tubes(base, base + 0.9 * up, size * 1.08, size * 0.85, _CODES["hat"], 7, caps=True))
        parts.append(tubes(base, base + 0.15 * up, brim, brim, _CODES["hat"], 7, caps=True))
    return [_carried(join(parts), at["head"])]


def _bag(build: Build, at: dict[str, Floats]) -> list[Moving]:
    """A rucksack, a shoulder bag, a carrier bag or a case on wheels."""
    h = build.height_m
    holders = {
        "rucksack": (at["chest"], (-0.095, 0, -0.13), (0.09, 0.17, 0.24)),
        "shoulder": (at["hip_l"], (0, 0.07, -0.08), (0.16, 0.05, 0.13)),
        "carrier": (at["hand_r"], (0, 0, -0.22), (0.15, 0.06, 0.2)),
        "case": (at["hand_r"] * [1, 1, 0], (-0.2, -0.03, 0.03), (0.13, 0.21, 0.3)),
    }
    if build.bag not in holders:
        return []
    holder, offset, size = holders[build.bag]
    box = boxes([np.array(offset) * h], [np.array(size) * h], _CODES["bag"], sides=6)
    parts = [_carried(box, holder)]
    if build.bag == "case":
        handle = tubes(
            holder + np.array([-0.2, -0.03, 0.3]) * h, at["hand_r"], 0.012, 0.012, _CODES["shoes"], 3
        )
        parts.append(_first_of(handle))
    return parts


def _first_of(mesh: Mesh) -> Moving:
    """A mesh made for all phases one after another, as the mesh of the first and the points of all."""
    each, faces = len(mesh.vertices) // PHASES, len(mesh.faces) // PHASES
    return Mesh(mesh.vertices[:each], mesh.faces[:faces]), mesh.points.reshape(PHASES, each, 3)


def _carried(mesh: Mesh, places: Floats) -> Moving:
    """A stiff mesh that goes with places [P, 3]."""
    points = mesh.points[None] + places[:, None]
    vertices = mesh.vertices.copy()
    vertices[:, POINT] = points[0]
    return Mesh(vertices, mesh.faces), points


def _stretched(mesh: Mesh, at: Floats, size: tuple[float, float, float]) -> Mesh:
    vertices = mesh.vertices.copy()
    vertices[:, POINT] = mesh.points * size + at
    return Mesh(vertices, mesh.faces)
