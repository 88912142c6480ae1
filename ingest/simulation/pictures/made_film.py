"""Films of made scenes without any object, for negative samples. H, W: sensor pixels."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.film import MAX_LUMINANCE, MIN_LUMINANCE, Actor, FilmConfig
from spikewatch.ingest.simulation.pictures.patches import Clutter, Flicker, Patches, Still
from spikewatch.ingest.simulation.pictures.spots import Dots, Sparks, rings


class _Scene(Protocol):
    def luminance(self, t_s: float) -> NDArray[np.float32]:
        """Return the luminance [H,W]; times must not decrease from call to call."""


SceneFactory = Callable[[np.random.Generator, tuple[int, int]], _Scene]
"""Samples a scene for a sensor of this width and height."""

MADE_SCENES: Mapping[str, SceneFactory] = {
    "clutter": Clutter,
    "dots": Dots,
    "rings": rings,
    "sparks": Sparks,
    "flicker": Flicker,
    "patches": Patches,
    "still": Still,
}


class MadeFilm:
    """`Film` of one of MADE_SCENES, which the seed chooses."""

    actors: Sequence[Actor] = ()

    def __init__(self, config: FilmConfig) -> None:
        cv2.setNumThreads(1)
        rng = np.random.default_rng(config.seed)
        self.scene_name = str(rng.choice(list(MADE_SCENES)))
        size = (config.width, config.height)
        self._scene, self._nothing = MADE_SCENES[self.scene_name](rng, size), np.zeros(size[::-1], np.int32)

    def luminance(self, t_s: float) -> NDArray[np.float32]:
        """See `Film`."""
        picture: NDArray[np.float32] = np.clip(self._scene.luminance(t_s), MIN_LUMINANCE, MAX_LUMINANCE)
        return np.ascontiguousarray(picture)

    def ids(self, t_s: float) -> NDArray[np.int32]:
        """See `Film`; there is no actor."""
        return self._nothing

    def close(self) -> None:
        """See `Film`."""
