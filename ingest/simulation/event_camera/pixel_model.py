"""Pixel model of an event camera. H, W: sensor pixels.

Photoreceptor, with light I in [0, inf):

    l = log(I + dark)
    dL/dt = 2 pi f (l - L),  f = bandwidth_hz * (I + low_light)

Comparator, with C the change of L since the pixel last fired, plus a leak that causes ON events:

    dC/dt = dL/dt + leak_hz * on
    C >= on: ON event;  C <= -off: OFF event;  then C = 0 for the refractory time

Within a step, L is linear in time, so each crossing has its own timestamp (Rebecq et al., ESIM, 2018).
"""

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.ingest.simulation.event_camera.settings import CameraSettings

FloatImage = NDArray[np.float32]
"""[H,W]"""


def log_luminance(luminance: FloatImage, settings: CameraSettings) -> FloatImage:
    """Return `l` of the module's equations, [H,W]."""
    level: FloatImage = np.log(luminance + np.float32(settings.dark))
    return level


def low_pass(level: FloatImage, luminance: FloatImage, dt_us: int, settings: CameraSettings) -> FloatImage:
    """Return L after a step of dt_us at constant light, the exact solution of its equation, [H,W]."""
    rate = np.float32(-2e-6 * np.pi * settings.bandwidth_hz * dt_us)
    share = 1 - np.exp(rate * (luminance + np.float32(settings.low_light)))
    after: FloatImage = level + share * (log_luminance(luminance, settings) - level)
    return after


@numba.njit(nogil=True, cache=True, error_model="numpy")
def emit_events(
    level_change: FloatImage,
    on: FloatImage,
    off: FloatImage,
    change: FloatImage,
    refractory_remaining_us: FloatImage,
    t0_us: int,
    dt_us: int,
    refractory_us: float,
) -> Events:
    """Return the events of one step, in pixel order.

    Args:
        level_change: [H,W], rise of C over the step if no pixel fired.
        on: [H,W], ON thresholds, above 0.
        off: [H,W], OFF thresholds, above 0.
        change: [H,W], C; updated in place.
        refractory_remaining_us: [H,W], refractory time remaining at the step's start; updated in place.
        t0_us: start of the step.
        dt_us: length of the step.
        refractory_us: refractory time, above 0.
    """
    height, width = level_change.shape
    events = np.empty(height * width // 4 + 64, EVENT_DTYPE)
    n = 0
    for y in range(height):
        for x in range(width):
            start = change[y, x]
            if refractory_remaining_us[y, x] == 0 and -off[y, x] < start + level_change[y, x] < on[y, x]:
                change[y, x] = start + level_change[y, x]
                continue
            slope = np.float64(level_change[y, x]) / dt_us
            polarity = slope > 0
            threshold = np.float64(on[y, x] if polarity else -off[y, x])
            c, t = np.float64(start), np.float64(refractory_remaining_us[y, x])
            while t < dt_us:
                delay = max((threshold - c) / slope, 0.0) if slope != 0 else np.inf
                if t + delay > dt_us:
                    c += slope * (dt_us - t)
                    t = np.float64(dt_us)
                    break
                if n == len(events):
                    events = _grow_buffer(events)
                event = events[n]
                event.t, event.x, event.y, event.p = t0_us + np.int64(t + delay), x, y, polarity
                n += 1
                c = np.float64(0)
                t += delay + refractory_us
            change[y, x] = c
            refractory_remaining_us[y, x] = t - dt_us
    return events[:n]


@numba.njit(nogil=True, cache=True)
def _grow_buffer(events: Events) -> Events:
    larger = np.empty(2 * len(events), EVENT_DTYPE)
    larger[: len(events)] = events
    return larger
