import numpy as np
import pytest

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.actors.mesh_library import MeshLibrary
from spikewatch.ingest.simulation.world.light import VehicleLights
from spikewatch.ingest.simulation.world.textures import TextureArray
from tests.ingest.simulation.support.mesh_files import write_mesh_folder


@pytest.fixture
def library(tmp_path):
    write_mesh_folder(tmp_path)
    return MeshLibrary(tmp_path)


def test_mesh_car_faces_ahead_at_real_size(library):
    textures = TextureArray()
    type_name, body = library.sample_car(np.random.default_rng(0), textures, VehicleLights())
    mesh = body.levels[0]
    assert type_name == "car"
    assert 3.5 < body.size_m[0] < 4.6
    assert mesh.points.max(0) - mesh.points.min(0) == pytest.approx(body.size_m, rel=1e-5)
    assert mesh.points[:, 2].min() == pytest.approx(0, abs=1e-6)
    roof = mesh.points[mesh.points[:, 2] > 0.9 * body.size_m[2]]
    assert roof[:, 0].max() < 0.35 * body.size_m[0]
    assert set(mesh.vertices[:, 8]) == {0.0, 1.0}
    assert len(textures.layers) == 2


def test_mesh_pedestrian_walks_ahead(library):
    figure = library.sample_figure(np.random.default_rng(0))
    cycle, regions = figure.cycles[0], figure.meshes[0].vertices[:, 8]
    assert len(cycle) == 24
    legs = cycle[:, regions == 1, 0]
    assert np.ptp(legs, axis=0).max() > 0.4
    assert np.ptp(cycle[:, regions == 3, 0], axis=0).max() < 0.01
    assert cycle[..., 2].max() == pytest.approx(figure.height_m, rel=0.02)


def test_cars_of_one_mesh_differ_in_size(library):
    rng = np.random.default_rng(1)
    sizes = {library.sample_car(rng, TextureArray(), VehicleLights())[1].size_m for _ in range(3)}
    assert len(sizes) == 3


def test_broken_mesh_files_are_named(tmp_path):
    for name in ("hatchback", "pedestrian_0"):
        np.savez(tmp_path / f"{name}.npz", vertices_0=np.zeros((3, 3)))
    library, rng = MeshLibrary(tmp_path), np.random.default_rng(0)
    with pytest.raises(SimulationError, match=r"hatchback.npz is not a vehicle as described"):
        library.sample_car(rng, TextureArray(), VehicleLights())
    with pytest.raises(SimulationError, match=r"pedestrian_0.npz is not a person as described"):
        library.sample_figure(rng)
