import numpy as np
import pytest

from spikewatch.ingest.simulation.actors.bodies import simplify_mesh
from spikewatch.ingest.simulation.actors.cars import BODY_STYLES, make_car
from spikewatch.ingest.simulation.actors.gait import GAITS
from spikewatch.ingest.simulation.actors.pedestrians import BODY_REGIONS, apply_clothes, make_figure
from spikewatch.ingest.simulation.geometry.mesh import join_meshes, make_copies, material, vertex_normals
from spikewatch.ingest.simulation.geometry.shapes import (
    make_blob,
    make_boxes,
    make_discs,
    make_quads,
    make_tubes,
)
from spikewatch.ingest.simulation.world.light import VehicleLights

RNG = np.random.default_rng


def volume(mesh):
    """Six times the divergence theorem's sum: positive only if faces wind counter-clockwise from outside."""
    a, b, c = (mesh.points[mesh.faces[:, k]].astype(float) for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def outward(mesh):
    """Per face, whether its winding agrees with the normals of its corners."""
    a, b, c = (mesh.points[mesh.faces[:, k]].astype(float) for k in range(3))
    across = np.cross(b - a, c - a)
    real = np.linalg.norm(across, axis=1) > 1e-9
    agree = (across * mesh.vertices[mesh.faces, 3:6].mean(1)).sum(1)
    return agree[real] > 0


def regions_of(figure):
    return figure.meshes[0].vertices[:, 8].astype(int)


def test_closed_shapes_have_expected_volume():
    assert volume(make_boxes([[3, 1, 2]], [[2, 3, 4]], material(), yaw=0.4, sides=6)) == pytest.approx(
        24, rel=1e-5
    )
    many = make_tubes([[0, 0, 0]], [[1, 2, 2]], 0.5, 0.5, material(), sides=48, caps=True)
    assert volume(many) == pytest.approx(np.pi * 0.25 * 3, rel=0.01)
    assert volume(make_blob(RNG(0), material(), 0.0, 40, 24)) == pytest.approx(4 / 3 * np.pi, rel=0.02)


@pytest.mark.parametrize(
    "mesh",
    [
        make_boxes([[0, 0, 0], [5, 1, 2]], [[1, 2, 3]], material(), yaw=[0.3, 2.0]),
        make_tubes([[0, 0, 0], [1, 1, 1]], [[0, 0, 2], [3, 1, 1]], 0.2, 0.1, material()),
        make_discs([[0, 0, 1]], [0, 1, 0], 0.5, material()),
        make_quads([[[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]]], material(), both_sides=True),
        make_blob(RNG(1), material(), 0.1),
    ],
)
def test_normals_agree_with_faces(mesh):
    assert outward(mesh).all()


def test_copies_are_moved_rotated_and_scaled():
    whole = make_copies(
        make_boxes([[0, 0, 0]], [[2, 1, 1]], material(), sides=6),
        [[5, 0, 0], [0, 7, 1]],
        [0, np.pi / 2],
        [1, 2],
    )
    first, second = whole.points[:24], whole.points[24:]
    assert first.min(0) == pytest.approx([4, -0.5, 0])
    assert second.min(0) == pytest.approx([-1, 5, 1], abs=1e-6)
    assert second.max(0) == pytest.approx([1, 9, 3], abs=1e-6)
    assert outward(whole).all()


@pytest.mark.parametrize("style", BODY_STYLES)
def test_cars_have_declared_size_and_outward_faces(style):
    for seed in range(3):
        car = make_car(RNG(seed), style, 0, VehicleLights())
        low, high = car.mesh.points.min(0), car.mesh.points.max(0)
        mirrors_and_all = np.array(car.size_m) + np.array([0, 0.34, 0])
        assert high - low == pytest.approx(mirrors_and_all, rel=0.06)
        assert low[2] == pytest.approx(0, abs=0.05)
        assert high[1] == pytest.approx(-low[1], abs=0.02)
        assert outward(car.mesh).mean() > 0.975
        assert outward(car.coarse).mean() > 0.95
        assert len(car.coarse.faces) < 0.5 * len(car.mesh.faces)
        body = car.mesh.vertices[:, 11] > 0.2
        assert np.isfinite(car.mesh.vertices).all()
        assert body.any()


def test_simplified_mesh_is_smaller_and_in_place():
    car = make_car(RNG(0), "hatchback", 0, VehicleLights()).mesh
    coarse = simplify_mesh(car, 0.27)
    assert len(coarse.faces) < 0.8 * len(car.faces)
    assert coarse.points.min(0) == pytest.approx(car.points.min(0), abs=0.3)
    assert coarse.points.max(0) == pytest.approx(car.points.max(0), abs=0.3)


@pytest.mark.parametrize("gait", GAITS)
def test_figures_stand_on_ground_at_their_height(gait):
    for seed in range(4):
        figure = make_figure(RNG(seed), gait)
        lowest, highest = (pick(figure.cycles[0][:, :, 2], axis=1) for pick in (np.min, np.max))
        if gait != "ride":
            assert lowest.min() == pytest.approx(0, abs=0.06)
            assert lowest.max() < (0.25 if gait == "run" else 0.06)
            assert highest == pytest.approx(figure.height_m, rel=0.12)
        assert figure.cycles[0].shape == (16, len(figure.meshes[0].vertices), 6)
        assert np.isfinite(figure.cycles[0]).all()
        assert regions_of(figure).max() < len(BODY_REGIONS)
        assert len(figure.meshes[1].faces) < 0.6 * len(figure.meshes[0].faces)


def test_second_half_of_walk_mirrors_first():
    figure = make_figure(RNG(3), "walk")
    legs = figure.cycles[0][:, regions_of(figure) == BODY_REGIONS.index("legs"), :3]
    ahead = legs[..., 0].max(1)
    assert ahead[:8] == pytest.approx(ahead[8:], abs=0.02)
    assert np.ptp(ahead) > 0.05


def test_clothes_differ_and_bodies_are_shared():
    figure = make_figure(RNG(3), "walk")
    one, other = (apply_clothes(RNG(seed), figure, [1, 2, 3]).levels[0] for seed in (0, 1))
    assert (one.points == other.points).all()
    assert (one.vertices[:, 8:] != other.vertices[:, 8:]).any()


def test_normals_of_joined_parts_stay_separate():
    parts = [make_boxes([[x, 0, 0]], [[1, 1, 1]], material(), sides=6) for x in (0, 4)]
    whole = join_meshes(parts)
    alone = np.concatenate([vertex_normals(part.points, part.faces) for part in parts])
    assert vertex_normals(whole.points, whole.faces) == pytest.approx(alone)
