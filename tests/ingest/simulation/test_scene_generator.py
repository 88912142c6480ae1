import dataclasses

import numpy as np
import pytest

from spikewatch.ingest.errors import IngestError, SimulationError
from spikewatch.ingest.simulation.film import CAR, MAX_LUMINANCE, MIN_LUMINANCE, PEDESTRIAN, FilmConfig
from spikewatch.ingest.simulation.rendering.opengl import create_context
from spikewatch.ingest.simulation.scene_generator import generate_film, generate_scene
from tests.ingest.simulation.support.mesh_files import write_mesh_folder
from tests.ingest.simulation.support.small_scenes import needs_egl

WIDTH, HEIGHT, SECONDS = 96, 72, 1.6
LABELS = {"car": CAR, "van": CAR, "pedestrian": PEDESTRIAN, "lorry": None, "bus": None, "cyclist": None,
          "motorcycle": None}  # fmt: skip


def config(seed=1, scenario="driving", **other):
    return FilmConfig(seed, scenario, SECONDS, WIDTH, HEIGHT, **other)


def frames(film, times=(0.0, 0.5, 1.5)):
    return np.stack([film.luminance(t_s) for t_s in times])


@needs_egl
@pytest.mark.parametrize("scenario", ["driving", "roadside"])
def test_seed_determines_every_pixel(scenario):
    films = [generate_film(config(seed, scenario)) for seed in (3, 3, 4)]
    first, again, other = (frames(film) for film in films)
    assert (first == again).all()
    assert (films[0].ids(1.5) == films[1].ids(1.5)).all()
    assert not np.allclose(first, other, atol=0.01)
    for film in films:
        film.close()


@needs_egl
@pytest.mark.parametrize("scenario", ["driving", "roadside"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_films_satisfy_film_protocol(scenario, seed):
    film = generate_film(config(seed, scenario))
    light = frames(film)
    assert light.shape == (3, HEIGHT, WIDTH)
    assert light.dtype == np.float32
    assert np.isfinite(light).all()
    assert light.min() >= MIN_LUMINANCE
    assert light.max() <= MAX_LUMINANCE
    assert float(np.median(light)) == pytest.approx(film.scene.light.median_luminance, rel=0.6)
    for t_s in (0.0, 1.5):
        ids = film.ids(t_s)
        assert ids.shape == (HEIGHT, WIDTH)
        assert ids.dtype == np.int32
        assert ids.min() >= 0
        assert ids.max() <= len(film.actors)
    film.close()


@needs_egl
def test_ids_match_each_actor_alone():
    film = generate_film(config(9, "roadside"))
    whole = film.ids(0.5)
    shown = [int(k) for k in np.unique(whole) if k]
    assert shown
    for k in shown:
        alone = film.ids(0.5, only=k, without_still=True) == k
        assert ((whole == k) <= alone).all()
    film.close()


def test_only_cars_and_pedestrians_have_class():
    type_names = set()
    for seed in range(4):
        for instance in generate_scene(config(seed, "driving" if seed % 2 else "roadside")).actors:
            assert instance.actor.class_id == LABELS[instance.actor.type_name]
            type_names.add(instance.actor.type_name)
    assert {"car", "pedestrian"} <= type_names


def test_actors_avoid_ego_vehicle():
    for seed in range(4):
        scene = generate_scene(config(seed))
        for step in range(0, scene.tracks.shape[1], 10):
            eye = scene.view_at(step * 0.04).eye
            apart = np.linalg.norm(scene.tracks[:, step, :2] - eye[:2], axis=1)
            assert (apart > 0.8).all()


def test_actor_motion_is_smooth():
    """In a step of 40 ms, nothing moves faster than a fast car, and speeds change little."""
    tracks = generate_scene(config(7)).tracks[:, :, :3].astype(float)
    velocity = np.diff(tracks, axis=1) / 0.04
    assert np.linalg.norm(velocity, axis=2).max() < 40
    assert np.linalg.norm(np.diff(velocity, axis=1), axis=2).max() < 1.5


@needs_egl
def test_mesh_folder_changes_actors(tmp_path):
    write_mesh_folder(tmp_path)
    film = generate_film(config(5, "roadside", meshes=tmp_path))
    assert np.isfinite(film.luminance(0.0)).all()
    film.close()
    lengths = {
        instance.body.size_m[0] for instance in generate_scene(config(5, "roadside", meshes=tmp_path)).actors
    }
    assert lengths != {instance.body.size_m[0] for instance in generate_scene(config(5, "roadside")).actors}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenario": "flying"}, "'flying'.*driving, roadside"),
        ({"seconds": 0.0}, "0.0 s is out of bounds"),
        ({"width": 4}, "4x72 px is out of bounds"),
    ],
)
def test_invalid_film_config_is_rejected(change, message):
    with pytest.raises(SimulationError, match=message):
        generate_film(dataclasses.replace(config(), **change))


def test_missing_or_empty_mesh_folder_is_rejected(tmp_path):
    with pytest.raises(SimulationError, match="does not exist"):
        generate_film(config(meshes=tmp_path / "nowhere"))
    with pytest.raises(SimulationError, match="has no known mesh"):
        generate_scene(config(meshes=tmp_path))


def test_missing_moderngl_is_named():
    with pytest.raises(SimulationError, match=r"pip install 'spikewatch\[sim\]'"):
        create_context(module="a_module_that_is_not_there")
    assert issubclass(SimulationError, IngestError)


@needs_egl
def test_missing_egl_libraries_are_named():
    with pytest.raises(SimulationError, match="apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"):
        create_context(backend="a_backend_that_is_not_there")
