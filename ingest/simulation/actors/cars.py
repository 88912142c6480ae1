"""Procedural cars: a loft through cross-sections, with wheels, lights and trim.

A body style is a side view in shares of length and height; every car varies around its style.
"""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Floats, Ints, Mesh, join_meshes, material
from spikewatch.ingest.simulation.geometry.shapes import (
    make_boxes,
    make_discs,
    make_loft,
    make_quads,
    make_tubes,
)
from spikewatch.ingest.simulation.world.light import VehicleLights

BODY_STYLES = ("hatchback", "saloon", "estate", "suv", "van", "pickup", "minivan", "coupe")


@dataclass(frozen=True, slots=True)
class BodyStyle:
    """Proportions of a body style.

    cowl, screen_top, roof_end and tail (lower edge of the rear window) are positions from the nose, as shares
    of the length. bonnet, belt (lower edge of the side windows) and deck (boot) are shares of the height.
    """

    type_name: str
    length_m: tuple[float, float]
    width_m: tuple[float, float]
    height_m: tuple[float, float]
    cowl: float
    screen_top: float
    roof_end: float
    tail: float
    bonnet: float
    belt: float
    deck: float
    side_glass_until: float = 1.0


_STYLE_BY_NAME = {
    "hatchback": BodyStyle(
        "car", (3.6, 4.4), (1.65, 1.82), (1.42, 1.55), 0.24, 0.42, 0.88, 0.97, 0.6, 0.63, 0.64
    ),
    "saloon": BodyStyle("car", (4.4, 5.0), (1.74, 1.9), (1.4, 1.48), 0.27, 0.42, 0.7, 0.84, 0.6, 0.63, 0.66),
    "estate": BodyStyle(
        "car", (4.4, 4.9), (1.72, 1.88), (1.43, 1.55), 0.26, 0.41, 0.92, 0.985, 0.6, 0.63, 0.64
    ),
    "suv": BodyStyle("car", (4.2, 4.9), (1.8, 2.0), (1.62, 1.88), 0.25, 0.38, 0.91, 0.98, 0.6, 0.63, 0.64),
    "van": BodyStyle(
        "van", (4.4, 5.9), (1.8, 2.05), (1.85, 2.55), 0.13, 0.27, 0.985, 0.995, 0.5, 0.55, 0.56, 0.42
    ),
    "pickup": BodyStyle("car", (4.9, 5.5), (1.8, 2.0), (1.7, 1.85), 0.26, 0.37, 0.58, 0.62, 0.62, 0.63, 0.58),
    "minivan": BodyStyle(
        "car", (4.2, 4.9), (1.75, 1.95), (1.6, 1.85), 0.17, 0.36, 0.92, 0.985, 0.55, 0.58, 0.58
    ),
    "coupe": BodyStyle("car", (3.9, 4.6), (1.75, 1.95), (1.22, 1.36), 0.32, 0.48, 0.72, 0.95, 0.6, 0.64, 0.7),
}

_GLASS = material(albedo=0.03, gloss=1.0)
_DARK = material(albedo=0.035, gloss=0.15)


@dataclass(frozen=True, slots=True)
class CarModel:
    """A car: fine and coarse mesh, type name ("car" or "van"), and length, width and height (m)."""

    mesh: Mesh
    coarse: Mesh
    type_name: str
    size_m: tuple[float, float, float]


def make_car(rng: np.random.Generator, style_name: str, rim_layer: int, lights: VehicleLights) -> CarModel:
    """Make a car of a style in BODY_STYLES; it faces +x and stands on z = 0."""
    style = _STYLE_BY_NAME[style_name]
    length, width, height = (
        rng.uniform(*bounds) for bounds in (style.length_m, style.width_m, style.height_m)
    )
    body = material(albedo=sample_paint_albedo(rng), gloss=rng.uniform(0.25, 0.7))
    sill = rng.uniform(0.16, 0.24) + (0.08 if style_name in ("suv", "pickup") else 0.0)
    rings, materials = _cross_sections(rng, style, (length, width, height), sill, body)
    radius = height * rng.uniform(0.2, 0.225) if style_name != "van" else rng.uniform(0.31, 0.36)
    hubs, outward = _wheel_hubs(rng, length, width, radius)
    rim = material(rim_layer, rng.uniform(0.2, 0.7))
    trim = _make_trim(rng, length, width, height, sill, lights)
    fine = [_body_shell(rings, materials), _make_wheels(hubs, outward, radius, rim), trim]
    fine.append(_make_side_details(rng, style, length, width, height))
    if style_name == "pickup":
        bed = [[-0.31 * length + 0.1, 0, style.deck * height - 0.02]]
        fine.append(make_boxes(bed, [[0.32 * length, width * 0.8, 0.04]], _DARK))
    kept = _select_coarse_rings(style, rings[:, 0, 0], length)
    coarse_rings = np.delete(rings[kept], [1, 13], axis=1)
    shares = 0.5 - rings[kept][:, 0, 0] / length
    coarse = [_body_shell(coarse_rings, _ring_materials(style, shares, body)[:, 1:-1]), trim]
    coarse.append(make_discs(hubs, outward, radius * 1.1, material(albedo=0.02), 7))
    coarse.append(make_discs(hubs + 0.01 * outward, outward, radius * 0.65, rim, 6))
    return CarModel(join_meshes(fine), join_meshes(coarse), style.type_name, (length, width, height))


def sample_paint_albedo(rng: np.random.Generator) -> float:
    """Sample the albedo of a car's paint: mostly white, grey and black, some coloured."""
    return float(rng.choice([0.03, 0.06, 0.12, 0.2, 0.3, 0.45, 0.6, 0.75]) * rng.uniform(0.8, 1.2))


def _cross_sections(
    rng: np.random.Generator, style: BodyStyle, size_m: tuple[float, float, float], sill: float, body: Floats
) -> tuple[Floats, Floats]:
    """Return rings [S, 15, 3] from nose to tail, each from the right sill over the roof to the left sill.

    Also returns their materials [S-1, 14, 4].
    """
    length, width, height = size_m
    pillars = np.linspace(style.screen_top, style.roof_end, rng.integers(3, 5))
    posts = [p for centre in pillars[1:-1] for p in (centre - 0.011, centre + 0.011)]
    tops = [style.cowl, style.screen_top, *posts, style.roof_end, style.tail]
    shares = np.array(
        [0.0, 0.012, 0.06, 0.5 * style.cowl, *tops, min(0.5 * (style.tail + 1), 0.985), 0.99, 1.0]
    )
    shares = np.maximum.accumulate(shares)
    belt, top = style.belt * height, _sample_top_heights(rng, style, height, shares)
    reach = np.abs(shares - 0.5) * 2
    half = width / 2 * (1 - 0.035 * reach**2 - 0.12 * reach**8 - 0.05 * (reach > 0.995))
    roof_share = rng.uniform(0.72, 0.84) if style.type_name == "car" else rng.uniform(0.86, 0.93)
    side = np.minimum(belt, top - 0.03)
    cabin = np.clip((top - side) / (height - belt), 0, 1)
    roof_half = half * (1 - (1 - roof_share) * cabin)
    low = sill + 0.07 * (reach > 0.97)
    x = length * (0.5 - shares)
    columns = [
        (0.93 * half, low),
        (half, low + 0.12),
        (half, 0.55 * side + 0.45 * low),
        (0.985 * half, side - 0.015),
        (half * 0.965 - 0.1 * (half - roof_half), side + 0.06 * (top - side)),
        (roof_half * 1.0 + 0.04 * (half - roof_half), side + 0.88 * (top - side)),
        (roof_half * 0.93, top - 0.015),
        (0 * half, top + 0.025),
    ]
    right = np.stack([np.stack([x, -y * np.ones_like(x), z * np.ones_like(x)], -1) for y, z in columns], 1)
    left = right[:, -2::-1] * [1, -1, 1]
    rings = np.concatenate([right, left], 1)
    return rings, _ring_materials(style, shares, body)


def _sample_top_heights(rng: np.random.Generator, style: BodyStyle, height: float, shares: Floats) -> Floats:
    """Sample the upper edge of a car's side view: its height at shares [S] of the length from the nose."""
    bonnet, deck, belt = style.bonnet * height, style.deck * height, style.belt * height
    nose = bonnet * rng.uniform(0.72, 0.88)
    rear = min(deck, belt) * rng.uniform(0.8, 1.0) if style.tail < 0.95 else deck * 0.97
    profile = [
        (0, nose * 0.85),
        (0.012, nose),
        (0.06, nose * 1.05),
        (0.5 * style.cowl, bonnet * 0.97),
        (style.cowl, bonnet),
        (style.screen_top, height * 0.97),
        (0.5 * (style.screen_top + style.roof_end), height),
        (style.roof_end, height * 0.96),
        (style.tail, deck),
        (0.99, rear),
        (1.0, rear * 0.93),
    ]
    return np.asarray(np.interp(shares, *np.array(sorted(profile)).T))


def _ring_materials(style: BodyStyle, shares: Floats, body: Floats) -> Floats:
    """Return materials [S-1, 14, 4]: glass in the windscreen, the rear window and between the posts."""
    materials = np.empty((len(shares) - 1, 14, 4), np.float32)
    materials[:] = body
    materials[:, ::13] = _DARK
    centres, span = (shares[1:] + shares[:-1]) / 2, np.diff(shares)
    screen = (centres > style.cowl) & (centres < style.screen_top)
    rear = (centres > style.roof_end) & (centres < style.tail) & (style.type_name != "van")
    sides = (
        (centres > style.screen_top) & (centres < min(style.roof_end, style.side_glass_until)) & (span > 0.03)
    )
    materials[np.ix_(screen | rear, np.array([6, 7]))] = _GLASS
    materials[np.ix_(sides, np.array([4, 9]))] = _GLASS
    return materials


def _select_coarse_rings(style: BodyStyle, x: Floats, length: float) -> Ints:
    """Return the indices of the rings, at x [S], that a distant car needs: no posts, no rounding."""
    shares = 0.5 - x / length
    corners = [0.0, 0.06, style.cowl, style.screen_top, style.roof_end, style.tail, 1.0]
    near = np.abs(shares[:, None] - np.array(corners)).min(1) < 1e-6
    first = np.append(True, np.diff(shares) > 1e-6)
    return np.flatnonzero(near & first)


def _body_shell(rings: Floats, materials: Floats) -> Mesh:
    """Make the shell of a car with flat caps at nose and tail; rings [S, K, 3], K odd."""
    cap_column = materials.shape[1] // 2 - 5
    caps = [
        _end_cap(rings[0], materials[0, cap_column], False),
        _end_cap(rings[-1], materials[-1, cap_column], True),
    ]
    return join_meshes([make_loft(rings[::-1], materials[::-1]), *caps])


def _end_cap(ring: Floats, colour: Floats, rear: bool) -> Mesh:
    count = len(ring) // 2 + 1
    half, mirrored = ring[:count], ring[: -count - 1 : -1]
    quads = np.stack([half[:-1], half[1:], mirrored[1:], mirrored[:-1]], 1)
    return make_quads(quads if rear else quads[:, ::-1], colour)


def _wheel_hubs(
    rng: np.random.Generator, length: float, width: float, radius: float
) -> tuple[Floats, Floats]:
    """Return the outer centres of the wheels [4, 3], and their outward directions [4, 3]."""
    front, rear = rng.uniform(0.17, 0.21) * length, rng.uniform(0.18, 0.22) * length
    xs = np.array([length / 2 - front, length / 2 - front, rear - length / 2, rear - length / 2])
    sides = np.array([-1.0, 1, -1, 1])
    hubs = np.stack([xs, sides * (width / 2 + 0.012), np.full(4, radius)], 1)
    return hubs, np.stack([0 * sides, sides, 0 * sides], 1)


def _make_wheels(hubs: Floats, outward: Floats, radius: float, rim: Floats) -> Mesh:
    """Make tyres with rims in dark arches."""
    tyre, arch = material(albedo=0.03), material(albedo=0.015)
    treads = make_tubes(hubs - 0.24 * outward, hubs, radius, radius, tyre, 10)
    arches = make_discs(hubs - 0.008 * outward + np.array([0, 0, 0.02]), outward, radius * 1.16, arch, 12)
    walls = make_discs(hubs, outward, radius, tyre, 10)
    return join_meshes(
        [treads, arches, walls, make_discs(hubs + 0.006 * outward, outward, radius * 0.68, rim, 9)]
    )


def _make_trim(
    rng: np.random.Generator, length: float, width: float, height: float, sill: float, lights: VehicleLights
) -> Mesh:
    """Make lights, number plates, grille, bumpers and mirrors; the lights glow at night."""
    nose, tail = length / 2 + 0.01, -length / 2 - 0.01
    lamp_w, lamp_h = rng.uniform(0.14, 0.26) * width, rng.uniform(0.08, 0.16)
    lamp_z = min(0.46 * height, 0.85) * rng.uniform(0.85, 1.0)
    tail_w, tail_h = rng.uniform(0.08, 0.25) * width, rng.uniform(0.1, 0.4)
    tail_z = min(0.52 * height, 1.0) * rng.uniform(0.85, 1.05)
    rows: list[tuple[float, float, float, float, float, Floats]] = []
    for side in (-1, 1):
        head = material(albedo=0.7, glow=lights.head, gloss=0.15)
        rows.append((nose, side * (0.43 * width - lamp_w / 2), lamp_z, lamp_w, lamp_h, head))
        rear = material(albedo=0.12, glow=lights.tail, gloss=0.15)
        rows.append((tail, side * (0.44 * width - tail_w / 2), tail_z, tail_w, tail_h, rear))
    plate = material(albedo=0.75, glow=0.1 * lights.tail)
    rows += [(nose, 0, sill + 0.2, 0.5, 0.11, plate), (tail, 0, rng.uniform(0.45, 0.8), 0.5, 0.11, plate)]
    rows.append(
        (nose, 0, lamp_z - rng.uniform(0, 0.1), rng.uniform(0.3, 0.5) * width, rng.uniform(0.06, 0.2), _DARK)
    )
    rows.append((nose, 0, sill + 0.06, 0.7 * width, rng.uniform(0.06, 0.14), _DARK))
    rows.append((tail, 0, sill + 0.05, 0.75 * width, rng.uniform(0.08, 0.2), _DARK))
    plates = [_plate_facing_x(x, y, z, w, h) for x, y, z, w, h, _ in rows]
    mirrors = [[0.19 * length, side * (width / 2 + 0.07), 0.64 * height] for side in (-1, 1)]
    mirror_material = material(albedo=rng.choice([0.03, 0.3]), gloss=0.15)
    return join_meshes(
        [
            make_quads(plates, np.array([row[-1] for row in rows])),
            make_boxes(mirrors, [[0.1, 0.2, 0.14]], mirror_material),
        ]
    )


def _plate_facing_x(x: float, y: float, z: float, width: float, height: float) -> list[list[float]]:
    """Return the corners of an upright plate at the nose (x > 0) or the tail."""
    side = width / 2 if x > 0 else -width / 2
    low, top = z - height / 2, z + height / 2
    return [[x, y - side, low], [x, y + side, low], [x, y + side, top], [x, y - side, top]]


def _plate_facing_y(x: float, y: float, z: float, width: float, height: float) -> list[list[float]]:
    """Return the corners of an upright plate on the left (y > 0) or the right."""
    side = -width / 2 if y > 0 else width / 2
    low, top = z - height / 2, z + height / 2
    return [[x - side, y, low], [x + side, y, low], [x + side, y, top], [x - side, y, top]]


def _make_side_details(
    rng: np.random.Generator, style: BodyStyle, length: float, width: float, height: float
) -> Mesh:
    """Make door gaps and handles, and roof rails for some cars."""
    y, belt = width / 2 + 0.004, style.belt * height
    xs = length * (0.5 - np.linspace(style.cowl + 0.06, style.roof_end - 0.08, rng.integers(2, 4)))
    gap_h = belt - 0.36
    gaps = [_plate_facing_y(x, side * y, 0.32 + gap_h / 2, 0.02, gap_h) for x in xs for side in (-1, 1)]
    handles = [
        _plate_facing_y(x + 0.14, side * y, belt - 0.15, 0.16, 0.03) for x in xs[1:] for side in (-1, 1)
    ]
    meshes = [make_quads(gaps, _DARK), make_quads(handles, material(albedo=rng.choice([0.04, 0.4])))]
    if style.type_name == "car" and rng.random() < 0.3:
        centre = length * (0.5 - (style.screen_top + style.roof_end) / 2)
        rail = length * (style.roof_end - style.screen_top) * 0.8
        rails = [[centre, side * 0.36 * width, height - 0.01] for side in (-1, 1)]
        meshes.append(make_boxes(rails, [[rail, 0.04, 0.06]], _DARK))
    return join_meshes(meshes)
