"""Actor library: the cars, lorries, buses, pedestrians and riders from which a film samples its actors."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import Body, make_rigid_body
from spikewatch.ingest.simulation.actors.cars import BODY_STYLES, make_car
from spikewatch.ingest.simulation.actors.cyclists import make_cyclist
from spikewatch.ingest.simulation.actors.mesh_library import MeshLibrary
from spikewatch.ingest.simulation.actors.pedestrians import Figure, apply_clothes, make_figure
from spikewatch.ingest.simulation.actors.trucks import make_bus, make_truck
from spikewatch.ingest.simulation.world.light import VehicleLights
from spikewatch.ingest.simulation.world.textures import (
    TextureArray,
    cloth_texture,
    poster_texture,
    rim_texture,
)

_STYLE_SHARES = (0.24, 0.17, 0.12, 0.17, 0.12, 0.05, 0.09, 0.04)
_MESH_SHARE = 0.66


@dataclass(frozen=True, slots=True)
class ActorLibrary:
    """Bodies of a film: vehicles as (type name, body), figures by gait, children under "child"."""

    cars: tuple[tuple[str, Body], ...]
    heavy_vehicles: tuple[tuple[str, Body], ...]
    riders: tuple[tuple[str, Body], ...]
    figures: dict[str, tuple[Figure, ...]]
    cloth_layers: tuple[int, ...]

    def sample_car(self, rng: np.random.Generator) -> tuple[str, Body, float]:
        """Sample a type name ("car", "van"), a body and a tint for its paint."""
        type_name, body = self.cars[rng.integers(len(self.cars))]
        return type_name, body, float(rng.choice([0.15, 0.3, 0.6, 1.0, 1.0, 1.6, 2.4]))

    def sample_pedestrian(self, rng: np.random.Generator, gait: str) -> Body:
        """Sample a figure and clothes; gait is "walk", "run", "stand" or "child"."""
        figures = self.figures[gait]
        return apply_clothes(rng, figures[rng.integers(len(figures))], list(self.cloth_layers))


def build_actor_library(
    rng: np.random.Generator, textures: TextureArray, lights: VehicleLights, meshes: Path | None
) -> ActorLibrary:  # fmt: skip
    """Sample a library; with a mesh folder, about two thirds of the cars and walking figures come from it.

    Raises:
        SimulationError: the folder has no usable mesh.
    """
    folder = MeshLibrary(meshes) if meshes is not None else None
    rims = [textures.add(rim_texture(rng)) for _ in range(2)]
    cloth_layers = tuple(textures.add(cloth_texture(rng)) for _ in range(5))
    posters = [textures.add(poster_texture(rng)) for _ in range(2)]
    cars = []
    for _ in range(9):
        if folder is not None and folder.cars and rng.random() < _MESH_SHARE:
            cars.append(folder.sample_car(rng, textures, lights))
        else:
            car = make_car(rng, str(rng.choice(BODY_STYLES, p=_STYLE_SHARES)), int(rng.choice(rims)), lights)
            cars.append((car.type_name, make_rigid_body(car.mesh, car.size_m, car.coarse)))
    heavy = [("lorry", make_truck(rng, posters[0], lights)), ("bus", make_bus(rng, posters[1], lights))]
    riders = [("cyclist", make_cyclist(rng, list(cloth_layers), scooter=False)),
              ("motorcycle", make_cyclist(rng, list(cloth_layers), scooter=True))]  # fmt: skip
    figures: dict[str, list[Figure]] = {"walk": [], "run": [], "stand": [], "child": []}
    for gait, count in (("walk", 6), ("run", 1), ("stand", 3), ("child", 1)):
        for _ in range(count):
            adult = gait != "child"
            if gait == "walk" and folder is not None and folder.pedestrians and rng.random() < _MESH_SHARE:
                figures[gait].append(folder.sample_figure(rng))
            else:
                figures[gait].append(make_figure(rng, gait if adult else "walk", child=not adult))
    return ActorLibrary(
        tuple(cars),
        tuple(heavy),
        tuple(riders),
        {gait: tuple(group) for gait, group in figures.items()},
        cloth_layers,
    )
