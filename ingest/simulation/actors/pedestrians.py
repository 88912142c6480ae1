"""Procedural pedestrians: jointed figures of tubes, precomputed over one gait cycle.

Legend: P phases of a cycle, V vertices.
"""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import Body, add_normals, simplify_cycle
from spikewatch.ingest.simulation.actors.gait import CYCLE_PHASES, joint_positions, stride_length_m
from spikewatch.ingest.simulation.geometry.mesh import (
    LAYER,
    MATERIAL,
    POINT,
    Floats,
    Mesh,
    join_meshes,
    material,
)
from spikewatch.ingest.simulation.geometry.shapes import (
    make_blob,
    make_boxes,
    make_loft,
    make_tubes,
    quad_indices,
)

BODY_REGIONS = ("skin", "legs", "shoes", "top", "hair", "bag", "hat")
"""Regions with separate materials; the first five are those of mesh folders."""
_REGION_CODES = {name: material(layer=index) for index, name in enumerate(BODY_REGIONS)}
_RING_POINTS = 9
_COARSE_CELL_M = 0.19


@dataclass(frozen=True, slots=True)
class BodyShape:
    """Proportions of a figure (girth 1 is slim) and its clothes; skirt and coat are shares of the thigh."""

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
    """An uncoloured person, fine and coarse: meshes, and their points and normals [P, V, 6] over a cycle.

    The layer of a vertex is the index of its region in BODY_REGIONS.
    """

    meshes: tuple[Mesh, Mesh]
    cycles: tuple[Floats, Floats]
    height_m: float
    stride_m: float


AnimatedPart = tuple[Mesh, Floats]
"""A mesh at the first phase, and its points [P, V, 3] at all phases."""


def sample_body_shape(rng: np.random.Generator, child: bool) -> BodyShape:
    """Sample the proportions and clothes of a person."""
    height = rng.uniform(0.95, 1.45) if child else float(np.clip(rng.normal(1.7, 0.095), 1.48, 1.97))
    skirt = rng.uniform(0.35, 0.95) if rng.random() < 0.18 else 0.0
    return BodyShape(
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
    """Make a figure of a gait in `gait.GAITS`; "ride" sits and pedals. Its cycle has CYCLE_PHASES phases."""
    shape = sample_body_shape(rng, child)
    joints = joint_positions(gait, shape.height_m, shape.girth, rng.uniform(0.85, 1.15))
    parts = [
        _make_limbs(shape, joints),
        _make_torso(shape, joints),
        *_make_head(rng, shape, joints),
        *_make_bag(shape, joints),
    ]
    mesh = join_meshes(part for part, _ in parts)
    points = np.concatenate([phase_points for _, phase_points in parts], 1).astype(np.float32)
    return figure_from_cycle(
        mesh, add_normals(points, mesh), shape.height_m, stride_length_m(gait, shape.height_m)
    )


def figure_from_cycle(mesh: Mesh, cycle: Floats, height_m: float, stride: float) -> Figure:
    """Make a figure of a mesh and its cycle [P, V, 6], with a coarser copy of both."""
    coarse, far_cycle = simplify_cycle(mesh, cycle[..., :3], np.full(len(mesh.vertices), _COARSE_CELL_M))
    return Figure((mesh, coarse), (cycle, far_cycle), height_m, stride)


def apply_clothes(rng: np.random.Generator, figure: Figure, cloth_layers: list[int]) -> Body:
    """Sample clothes for a figure; return it as a body."""
    palette = np.stack([_sample_garment(rng, name, cloth_layers) for name in BODY_REGIONS])
    levels = []
    for mesh in figure.meshes:
        vertices = mesh.vertices.copy()
        vertices[:, MATERIAL] = palette[mesh.vertices[:, LAYER].astype(int)]
        levels.append(Mesh(vertices, mesh.faces))
    size = (0.4 * figure.height_m, 0.32 * figure.height_m, figure.height_m)
    return Body(tuple(levels), size, cycles=figure.cycles, stride_m=figure.stride_m)


def _sample_garment(rng: np.random.Generator, region: str, cloth_layers: list[int]) -> Floats:
    tones = {
        "hair": [0.03, 0.06, 0.15, 0.4],
        "shoes": [0.03, 0.1, 0.8],
        "legs": [0.04, 0.07, 0.12, 0.25, 0.5],
    }
    if region == "skin":
        return material(albedo=rng.uniform(0.12, 0.6))
    if region in tones:
        return material(albedo=rng.choice(tones[region]))
    return material(int(rng.choice(cloth_layers)), float(rng.choice([0.04, 0.09, 0.16, 0.3, 0.5, 0.8])))


def _make_limbs(shape: BodyShape, joints: dict[str, Floats]) -> AnimatedPart:
    g, h = shape.girth, shape.height_m
    bones = [
        ("hip", "knee", (0.047 * g, 0.034 * g), "skin" if shape.skirt else "legs"),
        ("knee", "ankle", (0.033 * g, 0.022), "skin" if shape.bare_legs else "legs"),
        ("ankle", "toe", (0.026, 0.02), "shoes"),
        ("shoulder", "elbow", (0.026 * g, 0.022 * g), "top"),
        ("elbow", "hand", (0.022 * g, 0.016), "skin" if shape.bare_arms else "top"),
    ]
    pairs = [(f"{bone[0]}_{side}", f"{bone[1]}_{side}") for bone in bones for side in "lr"]
    starts, ends = (np.stack([joints[pair[k]] for pair in pairs], 1).reshape(-1, 3) for k in (0, 1))
    start_radii, end_radii = (
        np.tile(np.repeat([radii[k] * h for *_, radii, _ in bones], 2), CYCLE_PHASES) for k in (0, 1)
    )
    materials = np.tile(
        np.repeat([_REGION_CODES[region] for *_, region in bones], 2, axis=0), (CYCLE_PHASES, 1)
    )
    return _split_phases(make_tubes(starts, ends, start_radii, end_radii, materials, sides=5, caps=True))


def _make_torso(shape: BodyShape, joints: dict[str, Floats]) -> AnimatedPart:
    """Make rings from below the hips to the neck; a coat or skirt reaches down and swings with the legs."""
    h, g = shape.height_m, shape.girth
    hips, knees = (joints["hip_l"] + joints["hip_r"]) / 2, (joints["knee_l"] + joints["knee_r"]) / 2
    hem_share = max(shape.coat, shape.skirt)
    spread = 0.5 * np.abs(joints["knee_l"][:, 0] - joints["knee_r"][:, 0]) * hem_share
    shoulders = 0.8 + 0.2 * g
    hem = (0.075 * g + 0.03 * hem_share, 0.062 * g + 0.02 * hem_share)
    sizes = [hem, (0.088 * g, 0.068 * g), (0.078 * g, 0.058 * g),
             (0.1 * shoulders, 0.066 * g), (0.112 * shoulders, 0.05), (0.045, 0.036)]  # fmt: skip
    chest, neck = joints["chest"], joints["neck"]
    centres = [hips + (knees - hips) * max(hem_share, 0.18), hips, hips + 0.35 * (chest - hips), chest,
               chest * 0.4 + neck * 0.6, neck]  # fmt: skip
    angle = np.arange(_RING_POINTS) * 2 * np.pi / (_RING_POINTS - 1)
    rings = np.empty((CYCLE_PHASES, _RING_POINTS, len(sizes), 3))
    for index, ((wide, deep), centre) in enumerate(zip(sizes, centres, strict=True)):
        ahead = deep * h + (spread if index == 0 else 0 * spread)
        rings[:, :, index, 0] = ahead[:, None] * np.cos(angle)
        rings[:, :, index, 1] = wide * h * np.sin(angle)
        rings[:, :, index, 2] = 0.0
        rings[:, :, index] += centre[:, None]
    materials = np.empty((_RING_POINTS - 1, len(sizes) - 1, 4), np.float32)
    materials[:] = _REGION_CODES["top"]
    if shape.coat == 0:
        materials[:, 0] = _REGION_CODES["hat" if shape.skirt > 0 else "legs"]
    uv = np.stack(np.broadcast_arrays(angle[:, None] * 0.15, np.array([0, 0.2, 0.35, 0.5, 0.6, 0.65])), -1)
    corners = quad_indices(_RING_POINTS, len(sizes)).ravel()
    return make_loft(rings[0], materials, uv), rings.reshape(CYCLE_PHASES, -1, 3)[:, corners]


def _make_head(rng: np.random.Generator, shape: BodyShape, joints: dict[str, Floats]) -> list[AnimatedPart]:
    """Make face, hair, neck and hat, attached to the head."""
    h = shape.height_m
    size = h * (0.058 + 0.012 * (1.75 - h))
    neck = make_tubes(
        [[-0.02 * h, 0, -0.11 * h]], [[0, 0, 0]], 0.03 * h, 0.03 * h, _REGION_CODES["skin"], sides=5
    )
    face = _scale_mesh(
        make_blob(rng, _REGION_CODES["skin"], 0.02, 7, 5),
        np.zeros(3),
        (size * 1.05, size * 0.85, size * 1.25),
    )
    length_share = 1 + 0.5 * shape.hair
    top = np.array([-0.25 * size, 0, 0.28 * size - 0.4 * size * (length_share - 1)])
    hair = _scale_mesh(
        make_blob(rng, _REGION_CODES["hair"], 0.05, 7, 4),
        top,
        (size * 0.98, size * 0.95, size * 1.05 * length_share),
    )
    meshes = [neck, face, hair]
    if shape.hat:
        base, brim = np.array([[0, 0, 0.55 * size]]), size * shape.hat
        up = np.array([0, 0, size])
        meshes.append(
            make_tubes(base, base + 0.9 * up, size * 1.08, size * 0.85, _REGION_CODES["hat"], 7, caps=True)
        )
        meshes.append(make_tubes(base, base + 0.15 * up, brim, brim, _REGION_CODES["hat"], 7, caps=True))
    return [_attach_to(join_meshes(meshes), joints["head"])]


def _make_bag(shape: BodyShape, joints: dict[str, Floats]) -> list[AnimatedPart]:
    """Make a rucksack, a shoulder bag, a carrier bag or a trolley case, or nothing."""
    h = shape.height_m
    holders = {
        "rucksack": (joints["chest"], (-0.095, 0, -0.13), (0.09, 0.17, 0.24)),
        "shoulder": (joints["hip_l"], (0, 0.07, -0.08), (0.16, 0.05, 0.13)),
        "carrier": (joints["hand_r"], (0, 0, -0.22), (0.15, 0.06, 0.2)),
        "case": (joints["hand_r"] * [1, 1, 0], (-0.2, -0.03, 0.03), (0.13, 0.21, 0.3)),
    }
    if shape.bag not in holders:
        return []
    holder, offset, size = holders[shape.bag]
    box = make_boxes([np.array(offset) * h], [np.array(size) * h], _REGION_CODES["bag"], sides=6)
    parts = [_attach_to(box, holder)]
    if shape.bag == "case":
        handle = make_tubes(
            holder + np.array([-0.2, -0.03, 0.3]) * h,
            joints["hand_r"],
            0.012,
            0.012,
            _REGION_CODES["shoes"],
            3,
        )
        parts.append(_split_phases(handle))
    return parts


def _split_phases(mesh: Mesh) -> AnimatedPart:
    """Split a mesh made for all phases into the mesh of the first phase and the points of all phases."""
    vertex_count, face_count = len(mesh.vertices) // CYCLE_PHASES, len(mesh.faces) // CYCLE_PHASES
    points = mesh.points.reshape(CYCLE_PHASES, vertex_count, 3)
    return Mesh(mesh.vertices[:vertex_count], mesh.faces[:face_count]), points


def _attach_to(mesh: Mesh, positions: Floats) -> AnimatedPart:
    """Attach a rigid mesh to positions [P, 3]."""
    points = mesh.points[None] + positions[:, None]
    vertices = mesh.vertices.copy()
    vertices[:, POINT] = points[0]
    return Mesh(vertices, mesh.faces), points


def _scale_mesh(mesh: Mesh, offset: Floats, size: tuple[float, float, float]) -> Mesh:
    vertices = mesh.vertices.copy()
    vertices[:, POINT] = mesh.points * size + offset
    return Mesh(vertices, mesh.faces)
