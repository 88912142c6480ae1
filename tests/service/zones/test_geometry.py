"""Geometry of zones against matplotlib's paths and against sampling."""

import numpy as np
import pytest

from spikewatch.service.zones.geometry import anchors, path_crosses, side_px, signed_distance_px


@pytest.mark.parametrize("corners", [3, 4, 7, 12])
def test_inside_equals_that_of_matplotlib(corners: int) -> None:
    """Star-shaped polygons, most of them not convex."""
    path = pytest.importorskip("matplotlib.path", reason="the extra `plot`")
    rng, total = np.random.default_rng(corners), 0
    for _ in range(20):
        angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
        polygon = 100 + rng.uniform(10, 90, (corners, 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)
        points = rng.uniform(0, 200, (500, 2))
        found = signed_distance_px(polygon, points) > 0
        assert (found == path.Path(polygon).contains_points(points)).all()
        total += int(found.sum())
    assert 100 < total < 9900


def test_distance_equals_that_to_a_sampled_border() -> None:
    rng = np.random.default_rng(0)
    polygon = np.array([[10.0, 10], [90, 20], [50, 40], [80, 95], [5, 70]])
    points = rng.uniform(-20, 120, (200, 2))
    share = np.linspace(0, 1, 2001)[:, None]
    ends = zip(polygon, np.roll(polygon, -1, axis=0), strict=True)
    border = np.concatenate([a + share * (b - a) for a, b in ends])
    nearest = np.linalg.norm(points[:, None] - border[None], axis=-1).min(1)
    assert np.abs(signed_distance_px(polygon, points)) == pytest.approx(nearest, abs=0.05)


def test_right_of_a_line_is_below_a_walk_to_the_right() -> None:
    line = np.array([[0.0, 50], [100, 50]])
    assert side_px(line, np.array([[10.0, 53], [10, 45], [10, 50]])).tolist() == [3, -5, 0]
    assert side_px(line[::-1], np.array([[10.0, 53]])).tolist() == [-3]


def test_path_around_the_end_of_a_line_does_not_cross() -> None:
    line = np.array([[0.0, 50], [100, 50]])
    assert path_crosses(line, np.array([20.0, 40]), np.array([60.0, 60]))
    assert not path_crosses(line, np.array([120.0, 40]), np.array([120.0, 60]))
    assert not path_crosses(line, np.array([90.0, 40]), np.array([140.0, 60]))


def test_anchor_is_the_centre_or_the_foot() -> None:
    boxes = np.array([[10.0, 20, 30, 40]])
    assert anchors(boxes, "centre").tolist() == [[25, 40]]
    assert anchors(boxes, "foot").tolist() == [[25, 60]]
