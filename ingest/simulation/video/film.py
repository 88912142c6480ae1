"""Luminance of a video at any time, seen by a moving camera. H, W: sensor pixels, h, w: video pixels.

Between two frames, both are moved along their optical flow and blended (DIS: Kroeger et al., "Fast Optical
Flow using Dense Inverse Search", ECCV 2016).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.film import MAX_LUMINANCE, MIN_LUMINANCE
from spikewatch.ingest.simulation.pictures.textures import LUMINANCE
from spikewatch.ingest.simulation.pictures.view import View

MEDIAN_LUMINANCE = 0.35
"""Median luminance of a recording at `light` 1, as in simulated streets."""

MAX_GAIN = 8.0
"""Largest factor by which dark videos are brightened."""

BLUR_BELOW_SCALE = 0.8
"""Videos that are shrunk below this scale are blurred first, against aliasing."""


@dataclass(frozen=True, slots=True)
class _FramePair:
    index: int
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    flow: NDArray[np.float32]


class VideoFilm:
    """Film of consecutive video frames.

    Args:
        frames: at least two frames, uint8 [h,w].
        frame_s: time between frames in the recording.
        view: motion of the camera.
        light: factor of the luminance; 1 gives a median of MEDIAN_LUMINANCE.
    """

    def __init__(
        self, frames: Sequence[NDArray[np.uint8]], frame_s: float, view: View, light: float = 1.0
    ) -> None:
        self._frames, self._frame_s, self._view = frames, frame_s, view
        median = float(np.median(LUMINANCE[frames[0]]))
        gain = min(MEDIAN_LUMINANCE / max(median, 0.02), MAX_GAIN) * light
        self._luminance = np.clip(LUMINANCE * np.float32(gain), MIN_LUMINANCE, MAX_LUMINANCE)
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._pair: _FramePair | None = None

    def luminance(self, t_s: float) -> NDArray[np.float32]:
        """Return the luminance [H,W]; after the last frame, that frame."""
        place = min(t_s / self._frame_s, len(self._frames) - 1.0)
        index = min(int(place), len(self._frames) - 2)
        share = np.float32(place - index)
        if self._pair is None or self._pair.index != index:
            self._pair = self._read_pair(index)
        grid = self._view.sampling_grid(t_s)
        flow = _remap(self._pair.flow, grid)
        before = _remap(self._pair.before, grid - share * flow)
        after = _remap(self._pair.after, grid + (1 - share) * flow)
        picture: NDArray[np.float32] = (1 - share) * before + share * after
        return np.ascontiguousarray(picture, np.float32)

    def _read_pair(self, index: int) -> _FramePair:
        before, after = self._frames[index : index + 2]
        flow: NDArray[np.float32] = self._flow.calc(before, after, None)
        return _FramePair(index, self._to_luminance(before), self._to_luminance(after), flow)

    def _to_luminance(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        picture: NDArray[np.float32] = self._luminance[frame]
        if self._view.scale < BLUR_BELOW_SCALE:
            picture = cv2.GaussianBlur(picture, (0, 0), 0.45 / self._view.scale)
        return picture


def _remap(picture: NDArray[np.float32], grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sample a picture at positions [H,W,2]; outside, it is mirrored."""
    sampled: NDArray[np.float32] = cv2.remap(
        picture, grid.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return sampled
