"""From a plan to a film: draws the place, the light, the actors and the camera from the plan's seed."""

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
    """A place with its light, its stock of bodies, and the camera in it."""

    network: RoadNetwork
    light: Light
    library: ActorLibrary
    shot: CameraShot
    times_s: Floats
    cruise_mps: float


def generate_film(config: FilmConfig) -> FilmRenderer:
    """The film of a plan; equal plans give equal pictures on one machine.

    Raises:
        SimulationError: the plan is wrong, its mesh folder is of no use, or moderngl or EGL is missing.
    """
    _check_config(config)
    renderer = get_renderer()
    film = FilmRenderer(renderer, generate_scene(config), config.width, config.height)
    film.set_exposure([config.seconds * share for share in (0.05, 0.35, 0.65, 0.95)])
    return film


def generate_scene(config: FilmConfig) -> Scene:
    """The scene of a config: all that `make_film` draws, as arrays."""
    place, street, bodies, actors, lens = np.random.default_rng(config.seed).spawn(5)
    times = track_times(config.seconds)
    shares = _SETTING_SHARES[config.scenario]
    setting = str(place.choice(list(shares), p=list(shares.values())))
    cruise = sample_cruise_speed(place, setting)
    roadside = config.scenario == "roadside"
    length = 120.0 if roadside else cruise * config.seconds + 20
    network = sample_road_network(place, setting, length, straight=roadside)
    light = sample_light(lens, setting)
    if roadside:
        shot = make_roadside_shot(
            lens, network, times, config.width, _sample_roadside_position(lens, network)
        )
    else:
        shot = make_dashcam_shot(lens, network, times, cruise, config.width, config.height, light.night)
    if light.rain and not roadside:
        shot = dataclasses.replace(
            shot, lens=dataclasses.replace(shot.lens, wiper_hz=float(lens.choice([0.0, 0.35, 0.6])))
        )
    shelf = TextureArray()
    layers = sample_street_layers(street, shelf, network.profile)
    look = sample_appearance(street, shelf, setting)
    wardrobe = build_actor_library(bodies, shelf, light.vehicle_lights, config.meshes)
    built = build_street(street, network, layers, light.night, shot.keep_clear)
    cast = _plan_tracks(actors, _SceneParts(network, light, wardrobe, shot, times, cruise))
    return Scene(
        solid=built.solid,
        detail=built.detail,
        ground=built.ground,
        markings=built.markings,
        textures=shelf.stack(),
        sun_mask=render_sun_mask(
            street, network.road, (network.s0_m, network.s1_m), built.shadow_casters, light
        ),
        light=light,
        appearance=look,
        lens=shot.lens,
        actors=tuple(cast.actors),
        tracks=cast.stack(),
        street_lamps=built.lamp_positions,
        view_at=shot.view_at,
    )


def _check_config(config: FilmConfig) -> None:
    if config.scenario not in SCENARIOS:
        raise SimulationError(
            f"scenario {config.scenario!r} is not known; choose one of {', '.join(SCENARIOS)}"
        )
    if not 0 < config.seconds <= _MAX_SECONDS:
        raise SimulationError(
            f"a film of {config.seconds} s cannot be made; give 0 to {_MAX_SECONDS:.0f} seconds"
        )
    if not (16 <= config.width <= 2048 and 16 <= config.height <= 2048):
        raise SimulationError(
            f"a film of {config.width}x{config.height} px cannot be made; give sides of 16 to 2048 px"
        )
    if config.meshes is not None and not config.meshes.is_dir():
        raise SimulationError(
            f"the mesh folder {config.meshes} does not exist; leave it out, or name a folder"
        )


def _sample_roadside_position(rng: np.random.Generator, network: RoadNetwork) -> float:
    """Where a roadside camera stands: often near a crossing or a junction."""
    spots = [s for s in (*network.crossings, *(side.s_m for side in network.side_roads)) if 20 < s < 120]
    if spots and rng.random() < 0.6:
        return float(rng.choice(spots)) + float(rng.choice([-1, 1]) * rng.uniform(9, 20))
    return float(rng.uniform(20, 110))


def _plan_tracks(rng: np.random.Generator, parts: _SceneParts) -> TrackPlanner:
    cast = TrackPlanner(parts.times_s)
    shot, network = parts.shot, parts.network
    size = (4.6, 2.2) if shot.ego_s is not None else (5.0, 5.0)
    cast.reserve(shot.ego_track, *size)
    density = sample_traffic_density(rng, network.profile.setting)
    _add_traffic(rng, cast, parts, density)
    _add_pedestrians(rng, cast, parts)
    return cast


def _add_traffic(
    rng: np.random.Generator, planner: TrackPlanner, parts: _SceneParts, density: TrafficDensity
) -> None:
    network, shot, wardrobe = parts.network, parts.shot, parts.library
    vehicle_traffic.add_parked_cars(rng, planner, wardrobe, network, shot.visible_span, density.parked_share)
    if shot.ego_s is not None and rng.random() < 0.72:
        vehicle_traffic.add_leading_vehicles(
            rng, planner, wardrobe, network, shot.ego_s, shot.ego_d, density.heavy_share
        )
    outer = network.profile.right_lanes()[0]
    for lane in network.profile.lanes:
        if shot.ego_s is None or lane != outer:
            pace = parts.cruise_mps * rng.uniform(0.75, 1.3)
            vehicle_traffic.add_lane_traffic(
                rng, planner, wardrobe, network, shot.visible_span, lane, pace, density
            )
    vehicle_traffic.add_crossing_traffic(rng, planner, wardrobe, network, shot.visible_span, density)
    vehicle_traffic.add_two_wheelers(
        rng, planner, wardrobe, network, shot.visible_span, density.riders_per_km
    )


def _add_pedestrians(rng: np.random.Generator, planner: TrackPlanner, parts: _SceneParts) -> None:
    """Encounters, spread over the film, where the camera can see people well."""
    shot, times = parts.shot, parts.times_s
    setting = parts.network.profile.setting
    busy = pedestrian_traffic.sample_encounter_rate(rng, setting)
    seconds = float(times[-1])
    ahead = shot.ego_s is not None
    travelled = float(shot.ego_s[-1] - shot.ego_s[0]) if shot.ego_s is not None else 0.0
    count = int(rng.poisson(busy * (8 + travelled / 4 + seconds * (0.4 if ahead else 0.8))))
    for _ in range(min(count, _MAX_ENCOUNTERS)):
        t_s = float(rng.uniform(0, seconds))
        own = float(np.interp(t_s, times, shot.ego_s)) if shot.ego_s is not None else shot.centre_m
        meeting = CameraEncounter(own + float(rng.uniform(*shot.encounter_range_m)), t_s)
        side, kind = int(rng.choice([-1, 1], p=[0.6, 0.4])), rng.random()
        if kind < 0.5:
            pedestrian_traffic.add_walking_group(rng, planner, parts.library, parts.network, meeting, side)
        elif kind < 0.75:
            pedestrian_traffic.add_crossing_pedestrian(rng, planner, parts.library, parts.network, meeting)
        else:
            pedestrian_traffic.add_standing_group(rng, planner, parts.library, parts.network, meeting, side)
