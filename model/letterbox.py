"""Preprocessing: letterboxing and normalisation of frames, and the inverse mapping of boxes.

Shapes: P channels, H and W sensor pixels, h and w input pixels, N boxes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from spikewatch.model.spec import ModelSpec

PAD_VALUE = 114 / 255
"""Grey level of the border for `latest_polarity` and `image`, as in the paper's code."""

PAD_ONLY_MIN_FILL = 0.95
"""Sensors that fill at least this share of the input are padded, not scaled, such as Gen1's 304 columns."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Mapping of a sensor into the network input: scaled by one factor, then centred.

    Attributes:
        scale: input pixels for each sensor pixel.
        height, width: size of the scaled frame in input pixels.
        top, left: position of the scaled frame in the input.
        input_height, input_width: size of the input.
    """

    scale: float
    height: int
    width: int
    top: int
    left: int
    input_height: int
    input_width: int

    @staticmethod
    def fit(width: int, height: int, spec: ModelSpec) -> "Letterbox":
        """Return the mapping with the largest scale that fits a width x height sensor into the input."""
        scale = min(spec.input_width / width, spec.input_height / height)
        if spec.representation == "polarity_counts" and PAD_ONLY_MIN_FILL <= 1 / scale <= 1:
            scale = 1.0
        h = min(max(round(height * scale), 1), spec.input_height)
        w = min(max(round(width * scale), 1), spec.input_width)
        top, left = (spec.input_height - h) // 2, (spec.input_width - w) // 2
        return Letterbox(scale, h, w, top, left, spec.input_height, spec.input_width)

    def boxes_to_sensor(self, xyxy: Tensor, width: int, height: int) -> NDArray[np.float32]:
        """Map corner boxes [N,4] in input pixels to x, y, width, height in sensor pixels, clipped."""
        offset = torch.tensor([self.left, self.top, self.left, self.top], dtype=xyxy.dtype)
        limit = torch.tensor([width, height, width, height], dtype=xyxy.dtype)
        x_scale, y_scale = self.width / width, self.height / height
        scale = torch.tensor([x_scale, y_scale, x_scale, y_scale], dtype=xyxy.dtype)
        corners = torch.minimum(((xyxy.cpu() - offset) / scale).clamp_min(0), limit)
        xywh = torch.cat((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
        return xywh.to(torch.float32).numpy()


def _paste(image: Tensor, letterbox: Letterbox, fill: float) -> Tensor:
    """Pad a scaled image to the size of the input."""
    right = letterbox.input_width - letterbox.width - letterbox.left
    bottom = letterbox.input_height - letterbox.height - letterbox.top
    return F.pad(image, (letterbox.left, right, letterbox.top, bottom), value=fill)


def _resize(image: Tensor, letterbox: Letterbox, representation: str) -> Tensor:
    """Scale an image: event frames that shrink by area averaging, all others bilinearly.

    Bilinear scaling of images is that of the paper's code.
    """
    if image.shape[1:] == (letterbox.height, letterbox.width):
        return image
    size = (letterbox.height, letterbox.width)
    if letterbox.scale < 1 and representation != "image":
        return F.interpolate(image[None], size, mode="area")[0]
    return F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]


def preprocess(
    frame: NDArray[np.uint8] | NDArray[np.uint16], letterbox: Letterbox, spec: ModelSpec
) -> Tensor:
    """Convert one event frame or image to network input.

    `polarity_counts`: counts of a shrunk area are summed, not averaged. The rule `per_side` then divides the
    sum by the number of pixels on a side of the area, such as 4 for 1280x720. Counts are then capped at
    `count_cap` and divided by it.
    `latest_polarity`: 0..255 divided by 255, repeated in three channels.
    `image`: red, green, blue, 0..255 divided by 255.

    Args:
        frame: event frame [P,H,W] of the ingest package, or image, uint8 [3,H,W].
        letterbox: from `Letterbox.fit` for this sensor.
        spec: specification of the model.

    Returns:
        float32 [in_channels,h,w], in 0..1.
    """
    scaled = _resize(torch.from_numpy(frame.astype(np.float32)), letterbox, spec.representation)
    if spec.representation != "polarity_counts":
        return _paste(scaled / 255, letterbox, PAD_VALUE).expand(spec.config.in_channels, -1, -1)
    if letterbox.scale < 1:
        pixels = frame.shape[1] * frame.shape[2] / (letterbox.height * letterbox.width)
        scaled = scaled * (pixels if spec.count_rule == "sum" else pixels**0.5)
    return _paste(scaled.clamp_max(spec.count_cap) / spec.count_cap, letterbox, 0.0)
