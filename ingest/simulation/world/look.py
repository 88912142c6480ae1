"""Appearance of sky and reflections: special texture layers and the skyline."""

from dataclasses import dataclass

from spikewatch.ingest.simulation.geometry.mesh import Floats


@dataclass(frozen=True, slots=True)
class Appearance:
    """Texture layers of clouds, reflections and rain, and the skyline.

    skyline [N]: slope at which the sky begins, by azimuth from 0 to 2 pi.
    """

    cloud_layer: int
    reflection_layer: int
    rain_layer: int
    skyline: Floats
