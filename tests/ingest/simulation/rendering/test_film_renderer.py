import dataclasses
import itertools

import numpy as np
import pytest

from spikewatch.ingest.simulation.film import MAX_LUMINANCE, MIN_LUMINANCE
from spikewatch.ingest.simulation.geometry.mesh import material
from spikewatch.ingest.simulation.geometry.shapes import make_boxes
from tests.ingest.simulation.support.small_scenes import (
    ALBEDO,
    AMBIENT,
    HEIGHT,
    SUN,
    WIDTH,
    box_body,
    needs_egl,
    pixel_of,
    plain_light,
    plain_scene,
    render,
    sun_at,
)  # fmt: skip

pytestmark = needs_egl


def extent(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), columns.max() + 1, rows.min(), rows.max() + 1


def seen(scene, method="luminance", **options):
    film = render(scene)
    picture = getattr(film, method)(0.0, **options)
    film.close()
    return picture


@pytest.mark.parametrize("place", [(10, 0, 0), (8, 2, 0.7), (14, -3, 2.0), (9, 0.5, np.pi / 2)])
def test_ids_fill_projection_of_body(place):
    x, y, yaw = place
    corners = [
        pixel_of([x + a * np.cos(yaw) - b * np.sin(yaw), y + a * np.sin(yaw) + b * np.cos(yaw), z])
        for a, b, z in itertools.product((-1, 1), (-0.5, 0.5), (0, 1))
    ]
    columns, rows = np.array(corners).T
    left, right, top, bottom = extent(seen(plain_scene([place]), "ids") == 1)
    assert abs(left - columns.min()) <= 1
    assert abs(right - columns.max()) <= 1
    assert abs(top - rows.min()) <= 1
    assert abs(bottom - rows.max()) <= 1


def test_actor_behind_wall_has_no_ids():
    wall = make_boxes([[6, 0, 0]], [[0.2, 8, 4]], material())
    assert (seen(plain_scene([(10, 0, 0)]), "ids") == 1).sum() > 50
    assert not seen(plain_scene([(10, 0, 0)], solid=wall), "ids").any()
    assert (seen(plain_scene([(10, 0, 0)], solid=wall), "ids", without_still=True) == 1).any()


def test_nearer_actor_hides_farther():
    film = render(plain_scene([(12, 0.4, 0), (9, -0.4, 0)]))
    both, far, near = film.ids(0.0), film.ids(0.0, only=1) == 1, film.ids(0.0, only=2) == 2
    film.close()
    assert ((both == 2) == near).all()
    assert ((both == 1) == (far & ~near)).all()
    assert (far & near).any()


def test_actor_behind_camera_is_not_visible():
    assert not seen(plain_scene([(-5, 0, 0)]), "ids").any()


def test_ground_luminance_follows_albedo_and_light():
    picture = seen(plain_scene([]))
    assert picture[-8:] == pytest.approx(ALBEDO * (AMBIENT + SUN * np.sin(np.radians(45))), rel=2e-3)
    assert picture.dtype == np.float32
    assert picture.shape == (HEIGHT, WIDTH)
    assert (picture >= MIN_LUMINANCE).all()
    assert (picture <= MAX_LUMINANCE).all()


def shadow_pixel(height_m):
    """Where the sun at 45 degrees from the left throws the middle of the top of a box at (10, 0)."""
    column, row = pixel_of([10, -0.9 * height_m, 0])
    return int(row), int(column)


def test_overlapping_shadows_darken_ground_once():
    body = box_body(height=2.0)
    light = plain_light(sun=sun_at(45))
    one = seen(plain_scene([(10, 0, 0)], [body], light=light))
    two = seen(plain_scene([(10, 0, 0), (10, 0.3, 0)], [body, body], light=light))
    place = shadow_pixel(2.0)
    assert one[place] == pytest.approx(ALBEDO * AMBIENT, rel=5e-3)
    assert two[place] == pytest.approx(ALBEDO * AMBIENT, rel=5e-3)


def test_shadow_darkens_only_ground():
    bright = make_boxes([[10, -1.5, 0]], [[4, 0.5, 1.5]], material(albedo=0.5))
    without, shaded = (seen(plain_scene(places, solid=bright)) for places in ([], [(10, 0, 0)]))
    column, row = pixel_of([8.0, -1.5, 1.0])
    assert shaded[int(row), int(column)] == pytest.approx(float(without[int(row), int(column)]), rel=1e-3)


def test_exposure_sets_median_luminance():
    film = render(plain_scene([(10, 0, 0)]))
    film.set_exposure([0.0, 0.1])
    assert np.median(film.luminance(0.0)) == pytest.approx(0.35, rel=1e-3)
    film.close()


def test_distance_fades_into_horizon():
    light = dataclasses.replace(plain_light(), density=0.03)
    picture = seen(plain_scene([], light=light))
    _, horizon_row = pixel_of([55, 0, 0])
    upwards = picture[int(horizon_row) + 2 :, WIDTH // 2][::-1]
    near = ALBEDO * (AMBIENT + SUN * np.sin(np.radians(45)))
    assert (np.diff(upwards) > 0).all()
    assert near < upwards[0] < upwards[-1] < light.haze


def test_films_share_programs_but_not_light():
    first, second = (
        render(plain_scene([(10, 0, 0)])),
        render(plain_scene([], light=plain_light(sun_light=0.0))),
    )
    alone = first.luminance(0.0)
    other = second.luminance(0.0)
    assert (first.luminance(0.0) == alone).all()
    assert (second.luminance(0.0) == other).all()
    assert other[-1, 0] == pytest.approx(ALBEDO * AMBIENT, rel=5e-3)
    first.close()
    second.close()
