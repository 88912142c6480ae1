"""Made scenes: films without objects, determined by the seed, that make events."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spikewatch.ingest.simulation.dataset.job import DatasetOptions, render_film
from spikewatch.ingest.simulation.dataset.recorder import Timing
from spikewatch.ingest.simulation.event_camera.event_camera import EventCamera
from spikewatch.ingest.simulation.event_camera.settings import CameraSettings, sample_varied_settings
from spikewatch.ingest.simulation.film import FilmConfig
from spikewatch.model.training.datasets.prophesee import find_recordings
from tests.ingest.simulation.support.dataset_runs import run

pytest.importorskip("cv2", reason="needs opencv-python-headless")

from spikewatch.ingest.simulation.pictures.made_film import MADE_SCENES, MadeFilm

QUIET = CameraSettings(shot_hz=0.0, hot_share=0.0, leak_hz=0.0)


def config(seed: int) -> FilmConfig:
    return FilmConfig(seed, "made", 1.0, 96, 72)


def test_every_scene_is_sampled_and_within_luminance() -> None:
    films = [MadeFilm(config(seed)) for seed in range(60)]
    assert set(Counter(film.scene_name for film in films)) == set(MADE_SCENES)
    for film in films:
        for t_s in (0.0, 0.01, 0.3):
            picture = film.luminance(t_s)
            assert (picture.shape, picture.dtype) == ((72, 96), np.float32)
            assert picture.min() > 0
            assert picture.max() <= 8
            assert not film.ids(t_s).any()


@pytest.mark.parametrize("name", MADE_SCENES)
def test_scene_makes_events_unless_it_is_still(name: str) -> None:
    counts = []
    for seed in range(4):
        scene = MADE_SCENES[name](np.random.default_rng(seed), (96, 72))
        camera = EventCamera(72, 96, QUIET, np.random.default_rng(9))
        again = MADE_SCENES[name](np.random.default_rng(seed), (96, 72))
        assert np.array_equal(scene.luminance(0.0), again.luminance(0.0))
        steps = [scene.luminance(k * 0.005).astype(np.float32) for k in range(60)]
        counts.append(sum(len(camera.generate_events(step, 5_000 * k + 1)) for k, step in enumerate(steps)))
    assert max(counts) == 0 if name == "still" else max(counts) > 100


def test_made_recordings_are_negative_samples(tmp_path: Path) -> None:
    options = DatasetOptions(5, "made", Timing(0.2, 100.0, 20.0), None, None, None)
    result, _ = run(tmp_path, 2, 1, render_film, options)
    assert result.failed == ()
    (recording,) = find_recordings(tmp_path, "train")
    assert recording.empty_times_us() == [50_000, 100_000, 150_000, 200_000]
    assert not len(recording.training_labels(2).boxes)


def test_varied_cameras_reach_5_hz_of_patchy_noise() -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_varied_settings(rng) for _ in range(300)]
    rates = np.array([each.shot_hz for each in drawn])
    assert 0.005 <= rates.min() < 0.02
    assert 3 < rates.max() <= 5
    assert np.median(rates) == pytest.approx((0.005 * 5) ** 0.5, rel=0.5)
    assert 1e-3 < max(each.hot_share for each in drawn) <= 5e-3
    camera = EventCamera(96, 128, CameraSettings(shot_hz=5.0, shot_patchiness=0.8, shot_spread=0.1), rng)
    plain = np.full((96, 128), 1e-4, np.float32)
    camera.generate_events(plain, 0)
    events = camera.generate_events(plain, 2_000_000)
    patches = np.bincount((events["y"] // 32) * 4 + events["x"] // 32, minlength=12) / (32 * 32 * 2)
    assert patches.max() > 2 * patches.min()
