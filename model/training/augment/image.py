"""Image augmentation: render an image into the input with one resampling, and map its boxes.

Shapes: H, W image pixels, h, w input pixels, M boxes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from spikewatch.model.letterbox import PAD_VALUE, Letterbox
from spikewatch.model.training.augment.placement import Placement, paste
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.datasets.input_boxes import IGNORE_REGION, InputBoxes

PAD_GREY = round(PAD_VALUE * 255)
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma weights of red, green and blue (ITU-R BT.601)."""


@dataclass(frozen=True, slots=True)
class ColourFactors:
    """Factors of brightness and saturation; 1 changes nothing, and saturation 0 gives a grey image."""

    brightness: float = 1.0
    saturation: float = 1.0


def render_image(
    image: NDArray[np.uint8],
    letterbox: Letterbox,
    placement: Placement,
    colours: ColourFactors,
    out: NDArray[np.uint8],
) -> None:
    """Draw an image into its tile at integer pixel coordinates, with a grey border.

    Args:
        image: red, green, blue, uint8 [H,W,3].
        letterbox: letterbox of the image.
        placement: placement of the letterboxed image.
        colours: colour factors of the image; they do not apply to the border.
        out: output, uint8 [3,h,w].
    """
    size = (
        max(round(letterbox.height * placement.scale), 1),
        max(round(letterbox.width * placement.scale), 1),
    )
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    if pixels.shape[2:] != size:
        pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
    scaled = _adjust_colours(pixels[0].numpy(), colours)
    left = letterbox.left
    if placement.flip:
        scaled = scaled[:, :, ::-1]
        left = letterbox.input_width - letterbox.left - letterbox.width
    x = round(left * placement.scale + placement.x_px)
    y = round(letterbox.top * placement.scale + placement.y_px)
    paste(scaled, x, y, placement.tile, out, PAD_GREY)


def image_boxes(ground_truth: GroundTruth, letterbox: Letterbox, width: int, height: int) -> InputBoxes:
    """Map the objects of a width x height image to input pixels, cropped to it; crowds are ignore regions."""
    x, y, w, h = ground_truth.xywh.T
    x_px = np.clip([x, x + w], 0, width) * (letterbox.width / width) + letterbox.left
    y_px = np.clip([y, y + h], 0, height) * (letterbox.height / height) + letterbox.top
    xyxy = np.stack([x_px[0], y_px[0], x_px[1], y_px[1]], 1).astype(np.float32)
    return InputBoxes(xyxy, np.where(ground_truth.crowd, IGNORE_REGION, ground_truth.class_id))


def _adjust_colours(pixels: NDArray[np.float32], colours: ColourFactors) -> NDArray[np.uint8]:
    if colours.saturation != 1:
        grey = np.tensordot(np.array(LUMA_WEIGHTS, np.float32), pixels, 1)
        pixels = grey + (pixels - grey) * np.float32(colours.saturation)
    if colours.brightness != 1:
        pixels = pixels * np.float32(colours.brightness)
    bounded: NDArray[np.uint8] = np.rint(pixels).clip(0, 255).astype(np.uint8)
    return bounded
