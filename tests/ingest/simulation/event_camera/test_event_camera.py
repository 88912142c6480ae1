"""The event camera, tested on luminance signals whose events are known in closed form."""

import dataclasses
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.events import Events
from spikewatch.ingest.simulation.event_camera.event_camera import EventCamera, sort_by_time
from spikewatch.ingest.simulation.event_camera.settings import CameraSettings, sample_settings

SHAPE = (4, 5)
PIXELS = SHAPE[0] * SHAPE[1]
STEP_US = 1000

IDEAL = CameraSettings(
    on_threshold=0.2,
    off_threshold=0.25,
    threshold_spread=0,
    dark=1e-9,
    bandwidth_hz=1e9,
    refractory_us=1e-3,
    leak_hz=0,
    shot_hz=0,
    hot_share=0,
)
"""No noise, no low-pass, identical pixels."""


def settings(**changes: float) -> CameraSettings:
    return dataclasses.replace(IDEAL, **changes)


def camera_after_firing(
    camera_settings: CameraSettings, seed: int = 0, shape: tuple[int, int] = SHAPE
) -> EventCamera:
    """Return a camera whose pixels have all just fired."""
    camera = EventCamera(*shape, camera_settings, np.random.default_rng(seed))
    camera.change[:] = 0
    return camera


def record(
    camera: EventCamera, log_light: Callable[[float], float], seconds: float, step_us: int = STEP_US
) -> Events:
    """Return the events for uniform light whose log luminance is a function of time (s)."""
    shape = camera.on_threshold.shape
    return np.concatenate(
        [
            camera.generate_events(np.full(shape, np.exp(log_light(t_us * 1e-6)), np.float32), t_us)
            for t_us in range(0, round(seconds * 1e6) + 1, step_us)
        ]
    )


def of_pixel(events: Events, x: int, y: int) -> Events:
    return events[(events["x"] == x) & (events["y"] == y)]


def noisy_frames(count: int, shape: tuple[int, int] = (24, 32)) -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    return np.exp(np.cumsum(rng.normal(0, 0.1, (count, *shape)), 0)).astype(np.float32)


def test_ramp_fires_at_threshold_crossings() -> None:
    """log I = 4 t: an ON event every 0.2 / 4 s = 50 ms in every pixel, for frames every 7 ms."""
    events = record(camera_after_firing(IDEAL), lambda t: 4 * t, 1.05, step_us=7000)
    pixel_events = of_pixel(events, 3, 2)
    assert pixel_events["p"].all()
    assert np.abs(pixel_events["t"] - 50_000 * np.arange(1, 21)).max() <= 2
    assert len(events) == 20 * PIXELS


def test_refractory_time_delays_ramp_events() -> None:
    """10 ms of refractory time and 50 ms to the threshold: one event every 60 ms."""
    events = record(camera_after_firing(settings(refractory_us=10_000)), lambda t: 4 * t, 1.0)
    pixel_events = of_pixel(events, 0, 0)
    assert np.abs(pixel_events["t"] - (60_000 * np.arange(1, 17) - 10_000)).max() <= 2


def test_step_fires_once_per_threshold() -> None:
    """A rise of 0.9 in one step, then a fall of 1.15, whose first 0.1 cancels the remainder of the rise."""
    events = record(
        camera_after_firing(IDEAL), lambda t: 0.0 if t == 0 else 0.9 if t < 0.0095 else -0.25, 0.02
    )
    pixel_events = of_pixel(events, 1, 1)
    assert pixel_events["p"].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert np.abs(pixel_events["t"][:4] - 1000 * np.array([0.2, 0.4, 0.6, 0.8]) / 0.9).max() <= 1
    assert np.abs(pixel_events["t"][4:] - 9000 - 1000 * np.array([0.35, 0.6, 0.85, 1.1]) / 1.15).max() <= 1


def test_sine_fires_once_per_threshold_of_swing() -> None:
    """Swing 2 A = 2.02: per period, once settled, ten ON events of 0.2 and eight OFF events of 0.25."""
    events = record(camera_after_firing(IDEAL), lambda t: 1.01 * np.sin(2 * np.pi * t), 6)
    settled = events[(events["t"] > 1.25e6) & (events["t"] <= 5.25e6)]
    on, off = settled["p"].sum() / PIXELS, (settled["p"] == 0).sum() / PIXELS
    assert (on / 4, off / 4) == (10, 8)


def test_half_contrast_halves_event_rate() -> None:
    fine = settings(on_threshold=0.06, off_threshold=0.06)
    whole = len(record(camera_after_firing(fine), lambda t: 2.42 * np.sin(2 * np.pi * t), 4))
    half = len(record(camera_after_firing(fine), lambda t: 1.21 * np.sin(2 * np.pi * t), 4))
    assert half / whole == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("refractory_us", [10.0, 3000.0])
def test_refractory_time_bounds_pixel_rate(refractory_us: float) -> None:
    camera = EventCamera(24, 32, settings(refractory_us=refractory_us), np.random.default_rng(1))
    frames = noisy_frames(60) ** 5
    events = np.concatenate([camera.generate_events(frame, 4000 * k) for k, frame in enumerate(frames)])
    gaps = np.concatenate(
        [np.diff(of_pixel(events, x, y)["t"]) for x in range(0, 32, 2) for y in range(0, 24, 2)]
    )
    assert refractory_us - 1 <= gaps.min() < refractory_us + 500
    assert len(gaps) > 2000


def test_leak_fires_on_events_at_its_rate() -> None:
    """Twice per second, for any threshold."""
    events = record(camera_after_firing(settings(leak_hz=2, threshold_spread=0.03)), lambda t: 0.0, 10.2)
    assert events["p"].all()
    for x, y in ((0, 0), (4, 3)):
        assert np.abs(of_pixel(events, x, y)["t"] - 500_000 * np.arange(1, 21)).max() < 500
    assert len(events) == 20 * PIXELS


@pytest.mark.parametrize(("light", "share"), [(1e-6, 1.0), (1.0, 0.25), (8.0, 0.25)])
def test_shot_noise_is_poisson_and_falls_with_light(light: float, share: float) -> None:
    camera = EventCamera(40, 50, settings(shot_hz=20, shot_spread=0.5), np.random.default_rng(2))
    expected = float(camera._cumulative_noise_hz[-1]) * share * 2
    count = len(record(camera, lambda t: float(np.log(light)), 2))
    assert expected == pytest.approx(20 * share * 2 * 2000, rel=0.1)
    assert abs(count - expected) < 5 * np.sqrt(expected)


def test_noise_varies_by_pixel_and_hot_pixels_stand_out() -> None:
    camera_settings = settings(shot_hz=1, shot_spread=0.7, hot_share=0.01, hot_hz=500)
    camera = EventCamera(60, 80, camera_settings, np.random.default_rng(3))
    events = record(camera, lambda t: -10.0, 2)
    counts = np.bincount(events["y"].astype(int) * 80 + events["x"], minlength=4800)
    hot = counts > 300
    assert 20 < hot.sum() < 90
    assert np.abs(counts[hot] / 2 - 500).max() < 120
    # log-normal rates spread counts wider than a Poisson's equal mean and variance
    assert counts[~hot].var() > 1.5 * counts[~hot].mean()
    assert 0.42 < events["p"].mean() < 0.48


def test_bandwidth_falls_with_light() -> None:
    """The step response is 1 - exp(-2 pi f t), with f proportional to the light."""
    slow = settings(bandwidth_hz=10.0, low_light=0.0, on_threshold=1e3, off_threshold=1e3)
    for light, hz in ((1.0, 10.0), (0.01, 0.1)):
        camera = camera_after_firing(slow)
        before = np.full(SHAPE, light / 2, np.float32)
        camera.generate_events(before, 0)
        for k in range(1, 11):
            camera.generate_events(2 * before, 1000 * k)
        share = camera.change[0, 0] / np.log(2)
        assert share == pytest.approx(1 - np.exp(-2 * np.pi * hz * 0.01), rel=1e-3)


def test_thresholds_vary_by_their_spread() -> None:
    camera = EventCamera(100, 100, settings(threshold_spread=0.03), np.random.default_rng(0))
    assert camera.on_threshold.std() == pytest.approx(0.03, rel=0.05)
    assert camera.off_threshold.mean() == pytest.approx(0.25, rel=0.01)


def test_saturated_bus_drops_evenly_and_counts() -> None:
    frames = noisy_frames(2) ** 8
    free, tight = (
        EventCamera(24, 32, settings(bus_events_per_s=rate), np.random.default_rng(1)) for rate in (1e9, 1e5)
    )
    for camera in (free, tight):
        camera.generate_events(frames[0], 0)
    whole, passed = (camera.generate_events(frames[1], 10_000) for camera in (free, tight))
    assert len(whole) > 1500
    assert (len(passed), tight.stats.dropped) == (1000, {"bus_saturated": len(whole) - 1000})
    assert free.stats.dropped == {}
    assert np.isin(passed, whole).all()
    early = [(sampled["t"] < 5000).mean() for sampled in (whole, passed)]
    assert early[0] == pytest.approx(early[1], abs=0.02)


def test_camera_state_resumes_exactly() -> None:
    """A pickled and restored camera gives the same events as the original."""
    frames = noisy_frames(40)

    def run_camera(camera: EventCamera, numbers: range) -> Events:
        return np.concatenate([camera.generate_events(frames[k], 5000 * k) for k in numbers])

    def new_camera(seed: int) -> EventCamera:
        return EventCamera(24, 32, CameraSettings(shot_hz=5), np.random.default_rng(seed))

    once = run_camera(new_camera(1), range(40))
    for cut in (1, 17):
        first = new_camera(1)
        head = run_camera(first, range(cut))
        assert (
            np.concatenate((head, run_camera(pickle.loads(pickle.dumps(first)), range(cut, 40)))) == once
        ).all()
    assert not np.array_equal(run_camera(new_camera(2), range(40)), once)
    assert (np.diff(once["t"]) >= 0).all()
    assert (once["t"].min() >= 0, once["t"].max() <= 195_000) == (True, True)


def test_time_sort_is_stable_for_all_step_lengths() -> None:
    rng = np.random.default_rng(0)
    for span in (50, 60_000, 10_000_000):
        events = np.zeros(5000, [("t", "<i8"), ("x", "<u2")])
        events["t"], events["x"] = 7 + rng.integers(0, span, 5000), np.arange(5000)
        ordered = sort_by_time(events, 7)
        assert (ordered == np.sort(events, order=("t", "x"))).all()


def test_frames_of_wrong_size_or_order_are_rejected() -> None:
    camera = camera_after_firing(IDEAL)
    luminance = np.ones(SHAPE, np.float32)
    camera.generate_events(luminance, 100)
    with pytest.raises(SimulationError, match="expected increasing times"):
        camera.generate_events(luminance, 100)
    with pytest.raises(SimulationError, match="expected the sensor's shape"):
        camera.generate_events(np.ones((5, 4), np.float32), 200)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"on_threshold": 0.0}, "on_threshold is 0.0; expected above 0"),
        ({"leak_hz": -1.0}, "leak_hz is -1.0; expected at least 0"),
        ({"shot_hz": float("nan")}, "shot_hz is nan"),
        ({"hot_share": 2.0}, "expected at most 1"),
    ],
)
def test_settings_out_of_bounds_are_rejected(change: dict[str, float], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        settings(**change)


def test_sampled_settings_vary_within_bounds() -> None:
    drawn = [sample_settings(np.random.default_rng(seed)) for seed in range(200)]
    on, off = (
        np.array([getattr(sampled, name) for sampled in drawn]) for name in ("on_threshold", "off_threshold")
    )
    assert 0.15 < off.min() < 0.2 < 0.6 < on.max() < 0.7
    assert (on >= off).all()
    assert sample_settings(np.random.default_rng(3)) == drawn[3]
    assert all(sampled.refractory_us < 2000 for sampled in drawn)
