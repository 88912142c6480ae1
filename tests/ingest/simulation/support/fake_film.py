"""Film of bright boxes on grey, without a renderer: a car moves right, a person left, a lorry stands."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.film import CAR, PEDESTRIAN, Actor, Film, FilmConfig

ACTORS = (Actor(CAR, "car"), Actor(PEDESTRIAN, "pedestrian"), Actor(None, "lorry"))


@dataclass
class FakeFilm:
    config: FilmConfig
    closed: bool = False
    actors: Sequence[Actor] = ACTORS

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.config.seed)
        self.grey = rng.uniform(0.3, 0.4, (self.config.height, self.config.width)).astype(np.float32)
        self.speed_px_s = float(rng.uniform(20, 40))

    def luminance(self, t_s: float) -> NDArray[np.float32]:
        ids = self.ids(t_s)
        return np.where(ids > 0, np.float32(1.5), self.grey)

    def ids(self, t_s: float) -> NDArray[np.int32]:
        ids = np.zeros((self.config.height, self.config.width), np.int32)
        moved = round(self.speed_px_s * t_s)
        ids[2:14, 40:60] = 3
        ids[16:28, moved : moved + 20] = 1
        start = self.config.width - 12 - moved
        ids[8:32, max(start, 0) : max(start + 10, 0)] = 2
        return ids

    def close(self) -> None:
        self.closed = True


def make_fake(config: FilmConfig) -> Film:
    return FakeFilm(config)


def refuse_roadside(config: FilmConfig) -> Film:
    if config.scenario == "roadside":
        raise SimulationError("no road here")
    return FakeFilm(config)


def die_at_roadside(config: FilmConfig) -> Film:
    if config.scenario == "roadside":
        os.kill(os.getpid(), signal.SIGKILL)
    return FakeFilm(config)
