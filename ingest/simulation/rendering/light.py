"""Light of a scene as the shaders take it: uniforms of the whole scene, and the share of sun on an actor."""

from typing import Any

import numpy as np

from spikewatch.ingest.simulation.actors.motion import D, S
from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.rendering.opengl import matrix_bytes, vector_bytes
from spikewatch.ingest.simulation.rendering.scene import Scene
from spikewatch.ingest.simulation.world.sun_mask import SunMask


def scene_uniforms(scene: Scene) -> dict[str, Any]:
    """Return the uniforms that stay the same in all images of a scene."""
    light, mask, appearance, lens = scene.light, scene.sun_mask, scene.appearance, scene.lens
    span = np.array(mask.image.shape[::-1]) * mask.step_m
    return {
        "M": matrix_bytes(np.eye(4)),
        "sun": vector_bytes(light.sun),
        "sun_light": light.sun_light,
        "sun_height": float(light.sun[2]),
        "ambient": light.ambient,
        "haze": light.haze,
        "zenith": light.zenith,
        "density": light.density,
        "reach": light.visibility_m,
        "lit": 1.0,
        "tint": 1.0,
        "pictures": 0,
        "mask": 1,
        "scene": 2,
        "mirrored": float(appearance.reflection_layer),
        "floor_light": 0.25 * (light.ambient + 0.5 * light.sun_light),
        "shadow_floor": 0.55,
        "mask_at": (mask.s0_m, mask.d0_m),
        "mask_scale": vector_bytes(1 / span),
        "veil": light.veiling_glare,
        "away": vector_bytes(light.sun if light.sunny else [0, 0, 1]),
        "beam_light": light.headlight_beam if lens.in_car else 0.0,
        "cloud": float(appearance.cloud_layer),
        "clouds": light.clouds,
        "glare": lens.glare,
        "dashboard": lens.dashboard,
        "drops": float(appearance.rain_layer),
        "rain_light": light.haze * 0.9,
    }


def sunlit_share(mask: SunMask, pose: Floats) -> float:
    """Return the share of sunlight on an actor, from the sun mask."""
    column, row = (pose[S] - mask.s0_m) / mask.step_m, (pose[D] - mask.d0_m) / mask.step_m
    rows, columns = mask.image.shape
    if not (0 <= column < columns - 1 and 0 <= row < rows - 1):
        return 1.0
    c, r = int(column), int(row)
    right, down = column - c, row - r
    patch = mask.image[r : r + 2, c : c + 2] / 255.0
    return float(np.array([1 - down, down]) @ patch @ np.array([1 - right, right]))
