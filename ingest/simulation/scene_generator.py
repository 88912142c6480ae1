"""Generator of random scenes: samples the place, light, actors and camera from a film's seed."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.actors import pedestrian_traffic, vehicle_traffic
from spikewatch.ingest.simulation.actors.actor_library import ActorLibrary, build_actor_library
from spikewatch.ingest.simulation.actors.actor_tracks import TrackPlanner
from spikewatch.ingest.simulation.actors.camera_paths import (
    CameraShot,
    make_dashcam_shot,
    make_roadside_shot,
    sample_cruise_speed,
)
from spikewatch.ingest.simulation.actors.motion import track_times
from spikewatch.ingest.simulation.actors.pedestrian_traffic import CameraEncounter
from spikewatch.ingest.simulation.actors.vehicle_traffic import TrafficDensity, sample_traffic_density
from spikewatch.ingest.simulation.film import SCENARIOS, FilmConfig
from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.rendering.film_renderer import FilmRenderer
from spikewatch.ingest.simulation.rendering.opengl import get_renderer
from spikewatch.ingest.simulation.rendering.scene import Scene
from spikewatch.ingest.simulation.world.light import Light, sample_light
from spikewatch.ingest.simulation.world.road_network import RoadNetwork, sample_road_network
from spikewatch.ingest.simulation.world.street import build_street
from spikewatch.ingest.simulation.world.sun_mask import render_sun_mask
from spikewatch.ingest.simulation.world.texture_layers import sample_appearance, sample_street_layers
from spikewatch.ingest.simulation.world.textures import TextureArray

_SETTING_SHARES = {
    "driving": {"city": 0.6, "suburb": 0.24, "country": 0.09, "motorway": 0.07},
    "roadside": {"city": 0.64, "suburb": 0.25, "country": 0.06, "motorway": 0.05},
}
_MAX_SECONDS = 3600.0
_MAX_ENCOUNTERS = 120


@dataclass(frozen=True, slots=True)
class _SceneParts:
    """A place with its light, its actor library and its camera."""

    network: RoadNetwork
    light: Light
    library: ActorLibrary
    shot: CameraShot
    times_s: Floats
    cruise_mps: float


def generate_film(config: FilmConfig) -> FilmRenderer:
    """Return the film of a configuration; equal configurations give equal frames on one machine.

    Raises:
        SimulationError: invalid configuration, no usable mesh in its folder, or moderngl or EGL is missing.
    """
    _check_config(config)
    renderer = get_renderer()
    film = FilmRenderer(renderer, generate_scene(config), config.width, config.height)
    film.set_exposure([config.seconds * share for share in (0.05, 0.35, 0.65, 0.95)])
    return film


def generate_scene(config: FilmConfig) -> Scene:
    """Return the scene of a configuration: everything that `generate_film` renders, as arrays."""
    place_rng, street_rng, body_rng, actor_rng, lens_rng = np.random.default_rng(config.seed).spawn(5)
    times_s = track_times(config.seconds)
    shares = _SETTING_SHARES[config.scenario]
    setting = str(place_rng.choice(list(shares), p=list(shares.values())))
    cruise = sample_cruise_speed(place_rng, setting)
    roadside = config.scenario == "roadside"
    length = 120.0 if roadside else cruise * config.seconds + 20
    network = sample_road_network(place_rng, setting, length, straight=roadside)
    light = sample_light(lens_rng, setting)
    shot = _sample_shot(lens_rng, config, network, light, times_s, cruise)
    textures = TextureArray()
    layers = sample_street_layers(street_rng, textures, network.profile)
    appearance = sample_appearance(street_rng, textures, setting)
    library = build_actor_library(body_rng, textures, light.vehicle_lights, config.meshes)
    street = build_street(street_rng, network, layers, light.night, shot.keep_clear)
    planner = _plan_tracks(actor_rng, _SceneParts(network, light, library, shot, times_s, cruise))
    return Scene(
        solid=street.solid,
        detail=street.detail,
        ground=street.ground,
        markings=street.markings,
        textures=textures.stack(),
        sun_mask=render_sun_mask(
            street_rng, network.road, (network.s0_m, network.s1_m), street.shadow_casters, light
        ),
        light=light,
        appearance=appearance,
        lens=shot.lens,
        actors=tuple(planner.actors),
        tracks=planner.stack(),
        street_lamps=street.lamp_positions,
        view_at=shot.view_at,
    )


def _check_config(config: FilmConfig) -> None:
    if config.scenario not in SCENARIOS:
        raise SimulationError(f"unknown scenario {config.scenario!r}; expected one of {', '.join(SCENARIOS)}")
    if not 0 < config.seconds <= _MAX_SECONDS:
        raise SimulationError(
            f"film length {config.seconds} s is out of bounds; expected 0 to {_MAX_SECONDS:.0f} seconds"
        )
    if not (16 <= config.width <= 2048 and 16 <= config.height <= 2048):
        raise SimulationError(
            f"film size {config.width}x{config.height} px is out of bounds; expected sides of 16 to 2048 px"
        )
    if config.meshes is not None and not config.meshes.is_dir():
        raise SimulationError(f"mesh folder {config.meshes} does not exist; create it, or omit the option")


def _sample_shot(
    rng: np.random.Generator,
    config: FilmConfig,
    network: RoadNetwork,
    light: Light,
    times_s: Floats,
    cruise_mps: float,
) -> CameraShot:
    if config.scenario == "roadside":
        position_m = _sample_roadside_position(rng, network)
        return make_roadside_shot(rng, network, times_s, config.width, position_m)
    shot = make_dashcam_shot(rng, network, times_s, cruise_mps, config.width, config.height, light.night)
    if not light.rain:
        return shot
    wiper_hz = float(rng.choice([0.0, 0.35, 0.6]))
    return dataclasses.replace(shot, lens=dataclasses.replace(shot.lens, wiper_hz=wiper_hz))


def _sample_roadside_position(rng: np.random.Generator, network: RoadNetwork) -> float:
    """Sample the position of a roadside camera along the road, often near a crossing or a junction."""
    junctions = [s for s in (*network.crossings, *(side.s_m for side in network.side_roads)) if 20 < s < 120]
    if junctions and rng.random() < 0.6:
        return float(rng.choice(junctions)) + float(rng.choice([-1, 1]) * rng.uniform(9, 20))
    return float(rng.uniform(20, 110))


def _plan_tracks(rng: np.random.Generator, parts: _SceneParts) -> TrackPlanner:
    planner = TrackPlanner(parts.times_s)
    shot, network = parts.shot, parts.network
    footprint_m = (4.6, 2.2) if shot.ego_s is not None else (5.0, 5.0)
    planner.reserve(shot.ego_track, *footprint_m)
    density = sample_traffic_density(rng, network.profile.setting)
    _add_traffic(rng, planner, parts, density)
    _add_pedestrians(rng, planner, parts)
    return planner


def _add_traffic(
    rng: np.random.Generator, planner: TrackPlanner, parts: _SceneParts, density: TrafficDensity
) -> None:
    network, shot, library = parts.network, parts.shot, parts.library
    vehicle_traffic.add_parked_cars(rng, planner, library, network, shot.visible_span, density.parked_share)
    if shot.ego_s is not None and rng.random() < 0.72:
        vehicle_traffic.add_leading_vehicles(
            rng, planner, library, network, shot.ego_s, shot.ego_d, density.heavy_share
        )
    ego_lane = network.profile.right_lanes()[0]
    for lane in network.profile.lanes:
        if shot.ego_s is None or lane != ego_lane:
            speed_mps = parts.cruise_mps * rng.uniform(0.75, 1.3)
            vehicle_traffic.add_lane_traffic(
                rng, planner, library, network, shot.visible_span, lane, speed_mps, density
            )
    vehicle_traffic.add_crossing_traffic(rng, planner, library, network, shot.visible_span, density)
    vehicle_traffic.add_two_wheelers(rng, planner, library, network, shot.visible_span, density.riders_per_km)


def _add_pedestrians(rng: np.random.Generator, planner: TrackPlanner, parts: _SceneParts) -> None:
    """Add pedestrians at places and times of the film at which the camera sees them well."""
    shot, times = parts.shot, parts.times_s
    setting = parts.network.profile.setting
    rate = pedestrian_traffic.sample_encounter_rate(rng, setting)
    seconds = float(times[-1])
    moving = shot.ego_s is not None
    travelled = float(shot.ego_s[-1] - shot.ego_s[0]) if shot.ego_s is not None else 0.0
    count = int(rng.poisson(rate * (8 + travelled / 4 + seconds * (0.4 if moving else 0.8))))
    for _ in range(min(count, _MAX_ENCOUNTERS)):
        t_s = float(rng.uniform(0, seconds))
        camera_s = float(np.interp(t_s, times, shot.ego_s)) if shot.ego_s is not None else shot.centre_m
        encounter = CameraEncounter(camera_s + float(rng.uniform(*shot.encounter_range_m)), t_s)
        side, draw = int(rng.choice([-1, 1], p=[0.6, 0.4])), rng.random()
        if draw < 0.5:
            pedestrian_traffic.add_walking_group(rng, planner, parts.library, parts.network, encounter, side)
        elif draw < 0.75:
            pedestrian_traffic.add_crossing_pedestrian(rng, planner, parts.library, parts.network, encounter)
        else:
            pedestrian_traffic.add_standing_group(rng, planner, parts.library, parts.network, encounter, side)
