"""Preprocessing: letterboxing and normalisation of frames, and the inverse mapping of boxes.

Shapes: P channels, H and W sensor pixels, h and w input pixels, N boxes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.spec import ModelSpec

Floats = NDArray[np.float32]
EventFrame = NDArray[np.uint8] | NDArray[np.uint16]

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

    def boxes_to_sensor(self, xyxy: Floats, width: int, height: int) -> Floats:
        """Map corner boxes [N,4] in input pixels to x, y, width, height in sensor pixels, clipped."""
        offset = np.array([self.left, self.top, self.left, self.top], np.float32)
        limit = np.array([width, height, width, height], np.float32)
        x_scale, y_scale = self.width / width, self.height / height
        scale = np.array([x_scale, y_scale, x_scale, y_scale], np.float32)
        corners = np.minimum(np.maximum((xyxy - offset) / scale, 0), limit)
        return np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)


def _paste(image: Floats, letterbox: Letterbox, fill: float) -> Floats:
    """Pad a scaled image to the size of the input."""
    size = (len(image), letterbox.input_height, letterbox.input_width)
    padded = np.full(size, fill, np.float32)
    bottom, right = letterbox.top + letterbox.height, letterbox.left + letterbox.width
    padded[:, letterbox.top : bottom, letterbox.left : right] = image
    return padded


def _sum_spans(image: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], Floats]:
    """Cut the last axis into `size` spans, which overlap unless it is a multiple of them.

    Returns the sum of each span, and its length.
    """
    length = image.shape[-1]
    if length % size == 0:
        step = length // size
        summed: NDArray[np.int64] = np.add.reduce([image[..., i::step] for i in range(step)])
        return summed, np.full(size, step, np.float32)
    place = np.arange(size + 1) * length
    start, stop = place[:-1] // size, -(-place[1:] // size)
    total = np.zeros((*image.shape[:-1], length + 1), np.int64)
    np.cumsum(image, axis=-1, out=total[..., 1:])
    return total[..., stop] - total[..., start], (stop - start).astype(np.float32)


def _shrink(frame: NDArray[np.int64], height: int, width: int) -> Floats:
    """Average areas of pixels: [P,H,W] -> [P,height,width]. Sums are of integers, so they are exact."""
    by_column, columns = _sum_spans(frame, width)
    by_row, rows = _sum_spans(by_column.swapaxes(1, 2), height)
    mean = by_row.swapaxes(1, 2).astype(np.float32)
    mean /= rows[:, None]
    mean /= columns
    return mean


def _neighbours(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return the two neighbours of each of `size` pixels on an axis of `length`, and the second's share."""
    scale = np.float32(length / size)
    place = np.maximum((np.arange(size, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5), 0)
    first = np.minimum(place.astype(np.int64), length - 1)
    return first, np.minimum(first + 1, length - 1), place - first.astype(np.float32)


def _interpolate(image: Floats, height: int, width: int) -> Floats:
    """Scale bilinearly: [P,H,W] -> [P,height,width]; pixels are areas, so corners are not aligned."""
    left, right, x = _neighbours(image.shape[2], width)
    top, bottom, y = _neighbours(image.shape[1], height)
    one = np.float32(1)
    wide = image[..., left] * (one - x) + image[..., right] * x
    scaled: Floats = wide[:, top] * (one - y)[:, None] + wide[:, bottom] * y[:, None]
    return scaled


def _resize(image: EventFrame, letterbox: Letterbox, representation: str) -> Floats:
    """Scale an image: event frames that shrink by area averaging, all others bilinearly.

    Bilinear scaling of images is that of the paper's code.
    """
    size = (letterbox.height, letterbox.width)
    if image.shape[1:] == size:
        return image.astype(np.float32)
    if letterbox.scale < 1 and representation != "image":
        return _shrink(image.astype(np.int64), *size)
    return _interpolate(image.astype(np.float32), *size)


def preprocess(frame: EventFrame, letterbox: Letterbox, spec: ModelSpec) -> Floats:
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
    scaled = _resize(frame, letterbox, spec.representation)
    if spec.representation != "polarity_counts":
        channels = (spec.config.in_channels, spec.input_height, spec.input_width)
        scaled /= np.float32(255)
        pasted = _paste(scaled, letterbox, PAD_VALUE)
        return np.broadcast_to(pasted, channels).copy()
    if letterbox.scale < 1:
        pixels = frame.shape[1] * frame.shape[2] / (letterbox.height * letterbox.width)
        scaled *= np.float32(pixels if spec.count_rule == "sum" else pixels**0.5)
    capped: Floats = np.minimum(scaled, np.float32(spec.count_cap))
    capped /= np.float32(spec.count_cap)
    return _paste(capped, letterbox, 0.0)
