"""Light and weather of a film; luminance is relative to a white surface that faces the sun."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Floats


@dataclass(frozen=True, slots=True)
class VehicleLights:
    """Luminance of a vehicle's lights, relative to a white wall in the sun; 0 by day."""

    head: float = 0.0
    tail: float = 0.0


WEATHERS = ("sun", "haze", "overcast", "fog", "dusk", "night")
_WEATHER_SHARES = (0.34, 0.1, 0.26, 0.08, 0.1, 0.12)


@dataclass(frozen=True, slots=True)
class Light:
    """Light and weather of a film.

    Attributes:
        sun: unit vector [3] towards the sun.
        sun_light, ambient: light from the sun and from the sky.
        haze, zenith: luminance of the horizon and of the sky overhead.
        density: extinction of the air, per metre.
        visibility_m: distance beyond which nothing is drawn.
        rain: opacity of the rain streaks, 0 for none.
        median_luminance: median luminance of the film after exposure.
    """

    weather: str
    sun: Floats
    sun_light: float
    ambient: float
    haze: float
    zenith: float
    clouds: float
    density: float
    visibility_m: float
    rain: float
    veiling_glare: float
    vehicle_lights: VehicleLights
    street_lamps: float
    headlight_beam: float
    median_luminance: float

    @property
    def night(self) -> bool:
        """Whether lamps and headlights light the scene."""
        return self.street_lamps > 0

    @property
    def sunny(self) -> bool:
        """Whether the sun casts shadows."""
        return self.sun_light > 0.25


def sample_light(rng: np.random.Generator, setting: str) -> Light:
    """Sample the weather of a film and its light."""
    weather = str(rng.choice(WEATHERS, p=_WEATHER_SHARES))
    azimuth, low_sun = rng.uniform(0, 2 * np.pi), weather in ("dusk", "night")
    elevation = np.radians(rng.uniform(6, 14) if low_sun else rng.uniform(16, 65))
    sun = np.array(
        [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    sun_light, ambient, haze, zenith = _sample_brightness(rng, weather)
    density = {"fog": rng.uniform(0.012, 0.035), "haze": rng.uniform(0.004, 0.01)}.get(weather)
    rain = rng.random() < {"overcast": 0.35, "night": 0.2, "dusk": 0.2, "fog": 0.15}.get(weather, 0.0)
    lit = {"night": 1.0, "dusk": 0.7, "fog": 0.5}.get(weather, 0.4 if rain else 0.0)
    return Light(
        weather=weather, sun=sun, sun_light=sun_light, ambient=ambient, haze=haze, zenith=zenith,
        clouds=rng.uniform(0.05, 0.4) * haze, density=density or rng.uniform(0.0008, 0.003),
        visibility_m=240.0 if setting in ("motorway", "country") else 170.0,
        rain=rng.uniform(0.15, 0.5) if rain else 0.0,
        veiling_glare=(rng.random() < 0.3) * rng.uniform(0.02, 0.15) * haze,
        vehicle_lights=VehicleLights(head=lit * rng.uniform(2, 4), tail=lit * rng.uniform(0.3, 0.8)),
        street_lamps=rng.uniform(2.5, 6.0) if weather == "night" else 0.0,
        headlight_beam=rng.uniform(0.8, 2.0) if weather == "night" else 0.0,
        median_luminance=rng.uniform(0.08, 0.16) if weather == "night" else 0.35,
    )  # fmt: skip


def _sample_brightness(rng: np.random.Generator, weather: str) -> tuple[float, float, float, float]:
    """Sample (sun_light, ambient, haze, zenith)."""
    if weather == "sun":
        return rng.uniform(0.6, 1.3), rng.uniform(0.25, 0.4), rng.uniform(0.7, 1.1), rng.uniform(0.35, 0.7)
    if weather == "haze":
        return rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.6), rng.uniform(0.8, 1.1), rng.uniform(0.6, 0.9)
    if weather == "dusk":
        return rng.uniform(0.0, 0.5), rng.uniform(0.25, 0.45), rng.uniform(0.5, 1.2), rng.uniform(0.2, 0.4)
    if weather == "night":
        return 0.0, rng.uniform(0.03, 0.09), rng.uniform(0.02, 0.06), rng.uniform(0.005, 0.02)
    return 0.0, rng.uniform(0.6, 0.85), rng.uniform(0.75, 1.1), rng.uniform(0.7, 1.0)
