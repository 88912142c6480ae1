"""From a plan to a film: draws the place, the light, the actors and the camera from the plan's seed."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.actors import pedestrian_traffic, vehicle_traffic
from spikewatch.ingest.simulation.actors.actor_library import Wardrobe, fill_wardrobe
from spikewatch.ingest.simulation.actors.actor_tracks import Cast
from spikewatch.ingest.simulation.actors.camera_paths import Shot, draw_speed, drive_through, stand_by
from spikewatch.ingest.simulation.actors.motion import track_times
from spikewatch.ingest.simulation.actors.pedestrian_traffic import Meeting
from spikewatch.ingest.simulation.actors.vehicle_traffic import Density, draw_density
from spikewatch.ingest.simulation.film import SCENARIOS, Plan
from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.rendering.film_renderer import StagedFilm
from spikewatch.ingest.simulation.rendering.opengl import open_renderer
from spikewatch.ingest.simulation.rendering.scene import Scene
from spikewatch.ingest.simulation.world.light import Light, draw_light
from spikewatch.ingest.simulation.world.road_network import Network, draw_network
from spikewatch.ingest.simulation.world.street import build_street
from spikewatch.ingest.simulation.world.sun_mask import draw_mask
from spikewatch.ingest.simulation.world.texture_layers import draw_look, draw_street_layers
from spikewatch.ingest.simulation.world.textures import TextureShelf

_SETTING_SHARES = {
    "driving": {"city": 0.6, "suburb": 0.24, "country": 0.09, "motorway": 0.07},
    "roadside": {"city": 0.64, "suburb": 0.25, "country": 0.06, "motorway": 0.05},
}
_MOST_SECONDS = 3600.0
_MOST_ENCOUNTERS = 120


@dataclass(frozen=True, slots=True)
class _Set:
    """A place with its light, its stock of bodies, and the camera in it."""

    network: Network
    light: Light
    wardrobe: Wardrobe
    shot: Shot
    times: Floats
    cruise_ms: float


def make_film(plan: Plan) -> StagedFilm:
    """The film of a plan; equal plans give equal pictures on one machine.

    Raises:
        SimulationError: the plan is wrong, its mesh folder is of no use, or moderngl or EGL is missing.
    """
    _check(plan)
    renderer = open_renderer()
    film = StagedFilm(renderer, make_scene(plan), plan.width, plan.height)
    film.expose([plan.seconds * share for share in (0.05, 0.35, 0.65, 0.95)])
    return film


def make_scene(plan: Plan) -> Scene:
    """The scene of a plan: all that `make_film` draws, as arrays."""
    place, street, bodies, actors, lens = np.random.default_rng(plan.seed).spawn(5)
    times = track_times(plan.seconds)
    shares = _SETTING_SHARES[plan.scenario]
    setting = str(place.choice(list(shares), p=list(shares.values())))
    cruise = draw_speed(place, setting)
    roadside = plan.scenario == "roadside"
    length = 120.0 if roadside else cruise * plan.seconds + 20
    network = draw_network(place, setting, length, straight=roadside)
    light = draw_light(lens, setting)
    if roadside:
        shot = stand_by(lens, network, times, plan.width, _spot(lens, network))
    else:
        shot = drive_through(lens, network, times, cruise, plan.width, plan.height, light.night)
    if light.rain and not roadside:
        shot = dataclasses.replace(
            shot, lens=dataclasses.replace(shot.lens, wiper_hz=float(lens.choice([0.0, 0.35, 0.6])))
        )
    shelf = TextureShelf()
    layers = draw_street_layers(street, shelf, network.profile)
    look = draw_look(street, shelf, setting)
    wardrobe = fill_wardrobe(bodies, shelf, light.lamps, plan.meshes)
    built = build_street(street, network, layers, light.night, shot.clear)
    cast = _cast(actors, _Set(network, light, wardrobe, shot, times, cruise))
    return Scene(
        solid=built.solid, detail=built.detail, ground=built.ground, markings=built.markings,
        textures=shelf.stack(),
        mask=draw_mask(street, network.road, (network.s0_m, network.s1_m), built.casters, light), light=light,
        look=look, lens=shot.lens, roles=tuple(cast.roles), tracks=cast.stacked(), street_lamps=built.lamps,
        view=shot.view,
    )  # fmt: skip


def _check(plan: Plan) -> None:
    if plan.scenario not in SCENARIOS:
        raise SimulationError(
            f"scenario {plan.scenario!r} is not known; choose one of {', '.join(SCENARIOS)}"
        )
    if not 0 < plan.seconds <= _MOST_SECONDS:
        raise SimulationError(
            f"a film of {plan.seconds} s cannot be made; give 0 to {_MOST_SECONDS:.0f} seconds"
        )
    if not (16 <= plan.width <= 2048 and 16 <= plan.height <= 2048):
        raise SimulationError(
            f"a film of {plan.width}x{plan.height} px cannot be made; give sides of 16 to 2048 px"
        )
    if plan.meshes is not None and not plan.meshes.is_dir():
        raise SimulationError(f"the mesh folder {plan.meshes} does not exist; leave it out, or name a folder")


def _spot(rng: np.random.Generator, network: Network) -> float:
    """Where a roadside camera stands: often near a crossing or a junction."""
    spots = [s for s in (*network.crossings, *(side.s_m for side in network.sides)) if 20 < s < 120]
    if spots and rng.random() < 0.6:
        return float(rng.choice(spots)) + float(rng.choice([-1, 1]) * rng.uniform(9, 20))
    return float(rng.uniform(20, 110))


def _cast(rng: np.random.Generator, stage: _Set) -> Cast:
    cast = Cast(stage.times)
    shot, network = stage.shot, stage.network
    size = (4.6, 2.2) if shot.own_s is not None else (5.0, 5.0)
    cast.reserve(shot.own_track, *size)
    density = draw_density(rng, network.profile.setting)
    _add_traffic(rng, cast, stage, density)
    _add_people(rng, cast, stage)
    return cast


def _add_traffic(rng: np.random.Generator, cast: Cast, stage: _Set, density: Density) -> None:
    network, shot, wardrobe = stage.network, stage.shot, stage.wardrobe
    vehicle_traffic.park(rng, cast, wardrobe, network, shot.watch, density.parked)
    if shot.own_s is not None and rng.random() < 0.72:
        vehicle_traffic.lead(rng, cast, wardrobe, network, shot.own_s, shot.own_d, density.heavy)
    outer = network.profile.right_lanes()[0]
    for lane in network.profile.lanes:
        if shot.own_s is None or lane != outer:
            pace = stage.cruise_ms * rng.uniform(0.75, 1.3)
            vehicle_traffic.fill_lane(rng, cast, wardrobe, network, shot.watch, lane, pace, density)
    vehicle_traffic.cross(rng, cast, wardrobe, network, shot.watch, density)
    vehicle_traffic.ride(rng, cast, wardrobe, network, shot.watch, density.riders_per_km)


def _add_people(rng: np.random.Generator, cast: Cast, stage: _Set) -> None:
    """Encounters, spread over the film, where the camera can see people well."""
    shot, times = stage.shot, stage.times
    setting = stage.network.profile.setting
    busy = pedestrian_traffic.draw_busyness(rng, setting)
    seconds = float(times[-1])
    ahead = shot.own_s is not None
    travelled = float(shot.own_s[-1] - shot.own_s[0]) if shot.own_s is not None else 0.0
    count = int(rng.poisson(busy * (8 + travelled / 4 + seconds * (0.4 if ahead else 0.8))))
    for _ in range(min(count, _MOST_ENCOUNTERS)):
        t_s = float(rng.uniform(0, seconds))
        own = float(np.interp(t_s, times, shot.own_s)) if shot.own_s is not None else shot.middle_m
        meeting = Meeting(own + float(rng.uniform(*shot.sees_m)), t_s)
        side, kind = int(rng.choice([-1, 1], p=[0.6, 0.4])), rng.random()
        if kind < 0.5:
            pedestrian_traffic.walk_along(rng, cast, stage.wardrobe, stage.network, meeting, side)
        elif kind < 0.75:
            pedestrian_traffic.cross_over(rng, cast, stage.wardrobe, stage.network, meeting)
        else:
            pedestrian_traffic.stand_about(rng, cast, stage.wardrobe, stage.network, meeting, side)
