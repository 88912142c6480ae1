"""The bodies of a film: a stock of cars, lorries, buses, people and riders to cast from."""

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
    """cars: (kind, body). figures: by gait, children last under "child"."""

    cars: tuple[tuple[str, Body], ...]
    heavy_vehicles: tuple[tuple[str, Body], ...]
    riders: tuple[tuple[str, Body], ...]
    figures: dict[str, tuple[Figure, ...]]
    cloth_layers: tuple[int, ...]

    def sample_car(self, rng: np.random.Generator) -> tuple[str, Body, float]:
        """A kind ("car", "van"), a body and a tint for its paint."""
        kind, body = self.cars[rng.integers(len(self.cars))]
        return kind, body, float(rng.choice([0.15, 0.3, 0.6, 1.0, 1.0, 1.6, 2.4]))

    def sample_pedestrian(self, rng: np.random.Generator, gait: str) -> Body:
        """Somebody in clothes of their own. gait: "walk", "run", "stand" or "child"."""
        figures = self.figures[gait]
        return apply_clothes(rng, figures[rng.integers(len(figures))], list(self.cloth_layers))


def build_actor_library(
    rng: np.random.Generator, textures: TextureArray, lamps: VehicleLights, meshes: Path | None
) -> ActorLibrary:  # fmt: skip
    """Draw a stock; with a folder of meshes about two thirds of cars and people come from it.

    Raises:
        SimulationError: the folder holds no usable mesh.
    """
    folder = MeshLibrary(meshes) if meshes is not None else None
    rims = [textures.add(rim_texture(rng)) for _ in range(2)]
    cloths = tuple(textures.add(cloth_texture(rng)) for _ in range(5))
    posters = [textures.add(poster_texture(rng)) for _ in range(2)]
    cars = []
    for _ in range(9):
        if folder is not None and folder.cars and rng.random() < _MESH_SHARE:
            cars.append(folder.sample_car(rng, textures, lamps))
        else:
            made = make_car(rng, str(rng.choice(BODY_STYLES, p=_STYLE_SHARES)), int(rng.choice(rims)), lamps)
            cars.append((made.type_name, make_rigid_body(made.mesh, made.size_m, made.coarse)))
    heavy = [("lorry", make_truck(rng, posters[0], lamps)), ("bus", make_bus(rng, posters[1], lamps))]
    riders = [("cyclist", make_cyclist(rng, list(cloths), scooter=False)),
              ("motorcycle", make_cyclist(rng, list(cloths), scooter=True))]  # fmt: skip
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
        {gait: tuple(made) for gait, made in figures.items()},
        cloths,
    )
