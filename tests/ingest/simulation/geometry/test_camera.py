import numpy as np
import pytest

from spikewatch.ingest.simulation.geometry.camera import (
    focal_length_px,
    in_frustum,
    look_at,
    projection_matrix,
    ray_matrix,
    view_from_angles,
)
from spikewatch.ingest.simulation.geometry.grid_cells import split_into_cells
from spikewatch.ingest.simulation.geometry.mesh import material
from spikewatch.ingest.simulation.geometry.shapes import make_boxes
from tests.ingest.simulation.support.small_scenes import EYE, FOCAL_PX, HEIGHT, TARGET, WIDTH, pixel_of

VIEW = look_at(EYE, TARGET, FOCAL_PX)
MATRIX = projection_matrix(VIEW, WIDTH, HEIGHT)


def projected(points):
    clip = np.concatenate([points, np.ones((len(points), 1))], 1) @ MATRIX.T
    return clip[:, :3] / clip[:, 3:], clip[:, 3]


def test_projection_matches_pinhole():
    points = np.random.default_rng(0).uniform([3, -4, -1], [30, 4, 5], (40, 3))
    place, _ = projected(points)
    columns, rows = np.array([pixel_of(point) for point in points]).T
    assert (place[:, 0] + 1) * WIDTH / 2 == pytest.approx(columns, abs=1e-6)
    assert (1 - place[:, 1]) * HEIGHT / 2 == pytest.approx(rows, abs=1e-6)


def test_rays_invert_projection():
    corner = np.array([0.4, -0.7, 0, 1])
    far = EYE + 20 * (ray_matrix(VIEW, WIDTH, HEIGHT) @ corner)[:3]
    place, _ = projected(far[None])
    assert place[0, :2] == pytest.approx(corner[:2])


def test_view_axes_follow_angles():
    view = view_from_angles(np.zeros(3), yaw=np.pi / 2, pitch=0.2, roll=0.0, focal_px=50)
    right, up, back = view.rotation.T
    assert right == pytest.approx([1, 0, 0], abs=1e-12)
    assert -back == pytest.approx([0, np.cos(0.2), np.sin(0.2)], abs=1e-12)
    assert up == pytest.approx(np.cross(right, -back))


def test_focal_length_gives_view_angle():
    assert np.degrees(2 * np.arctan(304 / 2 / focal_length_px(304, 60.0))) == pytest.approx(60)


def test_culling_keeps_everything_in_frame():
    rng = np.random.default_rng(5)
    middles, radii = rng.uniform(-40, 40, (500, 3)), rng.uniform(0.5, 4, 500)
    place, depth = projected(middles)
    inside = (np.abs(place[:, :2]) < 1).all(1) & (depth > 1)
    kept = in_frustum(MATRIX, middles, radii)
    assert inside.any()
    assert kept[inside].all()
    assert not kept.all()


@pytest.mark.parametrize("near_first", [True, False])
def test_cells_hold_each_face_once_and_show_visible(near_first):
    at = np.random.default_rng(2).uniform([-80, -80, 0], [80, 80, 0], (300, 3))
    mesh = make_boxes(at, [[1, 1, 1]], material())
    chunks = split_into_cells(mesh, 24.0)
    ordered = np.sort(np.sort(chunks.mesh.faces, axis=1), axis=0)
    assert (ordered == np.sort(np.sort(mesh.faces, axis=1), axis=0)).all()
    runs = chunks.visible_runs(MATRIX, EYE, 1e3, near_first)
    drawn = np.concatenate([chunks.mesh.faces[first : first + count] for first, count in runs])
    place, depth = projected(mesh.points.astype(float))
    inside = (np.abs(place[:, :2]) < 1).all(1) & (depth > 1)
    assert set(np.flatnonzero(inside)) <= set(drawn.ravel())
    assert len(drawn) < len(mesh.faces)
