"""The bodies of a film: a stock of cars, lorries, buses, people and riders to cast from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import Body, stiff_body
from spikewatch.ingest.simulation.actors.cars import STYLES, make_car
from spikewatch.ingest.simulation.actors.cyclists import make_cyclist
from spikewatch.ingest.simulation.actors.mesh_library import MeshFolder
from spikewatch.ingest.simulation.actors.pedestrians import Figure, dress, make_figure
from spikewatch.ingest.simulation.actors.trucks import make_bus, make_lorry
from spikewatch.ingest.simulation.world.light import Lamps
from spikewatch.ingest.simulation.world.textures import TextureShelf, cloth, poster, rim

_STYLE_SHARES = (0.24, 0.17, 0.12, 0.17, 0.12, 0.05, 0.09, 0.04)
_FROM_MESHES = 0.66


@dataclass(frozen=True, slots=True)
class Wardrobe:
    """cars: (kind, body). figures: by gait, children last under "child"."""

    cars: tuple[tuple[str, Body], ...]
    heavy: tuple[tuple[str, Body], ...]
    riders: tuple[tuple[str, Body], ...]
    figures: dict[str, tuple[Figure, ...]]
    cloths: tuple[int, ...]

    def car(self, rng: np.random.Generator) -> tuple[str, Body, float]:
        """A kind ("car", "van"), a body and a tint for its paint."""
        kind, body = self.cars[rng.integers(len(self.cars))]
        return kind, body, float(rng.choice([0.15, 0.3, 0.6, 1.0, 1.0, 1.6, 2.4]))

    def person(self, rng: np.random.Generator, gait: str) -> Body:
        """Somebody in clothes of their own. gait: "walk", "run", "stand" or "child"."""
        figures = self.figures[gait]
        return dress(rng, figures[rng.integers(len(figures))], list(self.cloths))


def fill_wardrobe(
    rng: np.random.Generator, shelf: TextureShelf, lamps: Lamps, meshes: Path | None
) -> Wardrobe:  # fmt: skip
    """Draw a stock; with a folder of meshes about two thirds of cars and people come from it.

    Raises:
        SimulationError: the folder holds no usable mesh.
    """
    folder = MeshFolder(meshes) if meshes is not None else None
    rims = [shelf.add(rim(rng)) for _ in range(2)]
    cloths = tuple(shelf.add(cloth(rng)) for _ in range(5))
    posters = [shelf.add(poster(rng)) for _ in range(2)]
    cars = []
    for _ in range(9):
        if folder is not None and folder.cars and rng.random() < _FROM_MESHES:
            cars.append(folder.car(rng, shelf, lamps))
        else:
            made = make_car(rng, str(rng.choice(STYLES, p=_STYLE_SHARES)), int(rng.choice(rims)), lamps)
            cars.append((made.kind, stiff_body(made.mesh, made.size_m, made.coarse)))
    heavy = [("lorry", make_lorry(rng, posters[0], lamps)), ("bus", make_bus(rng, posters[1], lamps))]
    riders = [("cyclist", make_cyclist(rng, list(cloths), scooter=False)),
              ("motorcycle", make_cyclist(rng, list(cloths), scooter=True))]  # fmt: skip
    figures: dict[str, list[Figure]] = {"walk": [], "run": [], "stand": [], "child": []}
    for gait, count in (("walk", 6), ("run", 1), ("stand", 3), ("child", 1)):
        for _ in range(count):
            adult = gait != "child"
            if gait == "walk" and folder is not None and folder.people and rng.random() < _FROM_MESHES:
                figures[gait].append(folder.figure(rng))
            else:
                figures[gait].append(make_figure(rng, gait if adult else "walk", child=not adult))
    return Wardrobe(
        tuple(cars),
        tuple(heavy),
        tuple(riders),
        {gait: tuple(made) for gait, made in figures.items()},
        cloths,
    )
