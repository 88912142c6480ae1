"""Texture layers with a special part in the picture, and the skyline."""

from dataclasses import dataclass

from spikewatch.ingest.simulation.geometry.mesh import Floats


@dataclass(frozen=True, slots=True)
class Appearance:
    """Layers with a part of their own: clouds, what paint mirrors, rain drops; and the skyline.

    skyline [N]: by azimuth from 0 to 2 pi, the slope at which what is farthest ends and the sky begins.
    """

    cloud_layer: int
    reflection_layer: int
    rain_layer: int
    skyline: Floats
