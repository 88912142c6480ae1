import numpy as np
import pytest

from spikewatch.ingest.simulation.actors.actor_tracks import TrackPlanner
from spikewatch.ingest.simulation.actors.bodies import Body
from spikewatch.ingest.simulation.actors.motion import (
    TRACK_STEP_S,
    Stop,
    interpolate_tracks,
    make_track,
    simulate_drive,
    smooth,
    track_times,
)
from spikewatch.ingest.simulation.film import CAR, Actor
from spikewatch.ingest.simulation.geometry.mesh import empty_mesh
from spikewatch.ingest.simulation.world.road import Terrain, build_road, sample_terrain

FLAT = Terrain(np.zeros((0, 4)))
TIMES = track_times(30.0)


def road(bends=((100.0, 0.0),), hills=FLAT):
    return build_road(hills, list(bends), 50.0, 300.0, heading=0.3)


def test_road_points_follow_heading():
    winding = road([(40.0, 0.02), (60.0, -0.03)])
    s = np.arange(-20.0, 120.0, 1.0)
    step = winding.point_at(s + 0.5)[:, :2] - winding.point_at(s - 0.5)[:, :2]
    assert np.linalg.norm(step, axis=1) == pytest.approx(1, abs=2e-3)
    turn = np.arctan2(step[:, 1], step[:, 0]) - winding.heading_at(s)
    assert np.abs((turn + np.pi) % (2 * np.pi) - np.pi).max() < 0.02


def test_positive_offset_is_left():
    straight = road()
    aside = straight.point_at(10.0, 2.0) - straight.point_at(10.0, 0.0)
    assert aside[:2] == pytest.approx(2 * np.array([-np.sin(0.3), np.cos(0.3)]))


def test_bend_turns_by_length_times_curvature():
    assert road([(50.0, 0.02)]).heading_at(150.0) - 0.3 == pytest.approx(1.0, abs=0.01)


def test_road_slope_is_terrain_slope():
    hilly = road(hills=sample_terrain(np.random.default_rng(1), 0.02))
    rise = hilly.point_at(30.5)[2] - hilly.point_at(29.5)[2]
    assert hilly.slope_at(30.0) == pytest.approx(rise, abs=1e-4)
    assert abs(rise) < 0.04 * 1.7


def test_drive_keeps_speed_and_slows_for_bends():
    s = simulate_drive(road([(60.0, 0.0), (30.0, 1 / 15), (60.0, 0.0)]), TIMES, 0.0, 12.0, [], comfort=2.0)
    speed = np.gradient(s, TIMES)
    assert speed.max() <= 12.0 + 1e-6
    assert (speed > -1e-6).all()
    middle = np.searchsorted(s, 75.0)
    assert speed[middle] == pytest.approx(np.sqrt(2.0 * 15), rel=0.12)


def test_drive_stops_at_place_for_duration():
    s = simulate_drive(road(), TIMES, 0.0, 10.0, [Stop(60.0, 5.0)])
    speed = np.gradient(s, TIMES)
    standing = speed < 0.05
    assert standing.sum() * TRACK_STEP_S == pytest.approx(5.0, abs=1.5)
    assert s[standing] == pytest.approx(60.0, abs=0.6)
    assert np.abs(np.gradient(speed, TIMES)).max() < 6.0
    assert s[-1] > 100


def test_track_is_interpolated_and_held_at_ends():
    track = make_track(road(), 5.0 * TIMES, 1.0)
    halfway = interpolate_tracks(track[None], 10.5 * TRACK_STEP_S)[0]
    assert halfway == pytest.approx((track[10] + track[11]) / 2, rel=1e-5, abs=1e-5)
    assert interpolate_tracks(track[None], -1.0)[0] == pytest.approx(track[0])
    assert interpolate_tracks(track[None], 1e6)[0] == pytest.approx(track[-1], rel=1e-4)


def test_smoothing_keeps_straight_lines():
    line = 3.0 + 0.5 * np.arange(50)
    assert smooth(line) == pytest.approx(line)


def test_planner_rejects_overlapping_actors():
    car, body = Actor(CAR, "car"), Body((empty_mesh(),), (4.0, 1.8, 1.5))
    cast = TrackPlanner(TIMES)
    assert cast.add(car, body, make_track(road(), 10.0 * TIMES, 1.7))
    assert not cast.add(car, body, make_track(road(), 2.0 + 10.0 * TIMES, 1.7))
    assert cast.add(car, body, make_track(road(), 8.0 + 10.0 * TIMES, 1.7))
    assert cast.add(car, body, make_track(road(), 100.0 - 10.0 * TIMES, -1.7, yaw_offset=np.pi))
    assert not cast.add(car, body, make_track(road(), 100.0 - 10.0 * TIMES, 1.7, yaw_offset=np.pi))
    cast.reserve(make_track(road(), 0 * TIMES, -8.0), 5.0, 5.0)
    assert not cast.add(car, body, make_track(road(), 0 * TIMES, -6.5))
    assert cast.stack().shape == (3, len(TIMES), 8)
