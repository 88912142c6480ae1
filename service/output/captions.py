"""The banner above a picture and the captions beneath it, in a font that fits their width."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from spikewatch.service.output.palette import BANNER, GROUND, OFF, ON, STRIP, TEXT

Picture = NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

TEXT_FONT_PX, TAG_FONT_PX, SMALLEST_FONT_PX = 20, 16, 10


def banner_band(text: str, width: int) -> Picture:
    """A bright band across the whole picture."""
    band = Image.new("RGB", (width, TEXT_FONT_PX + 14), BANNER)
    pen = ImageDraw.Draw(band)
    pen.text((width / 2, band.height / 2), text, GROUND, _fitting_font(pen, text, width - 24), anchor="mm")
    return np.asarray(band)


def caption_strip(lines: Sequence[str], width: int, legend: bool = True) -> Picture:
    """Caption lines, and what the colours of events mean at the right end of the first."""
    pitch = TEXT_FONT_PX + 8
    strip = Image.new("RGB", (width, pitch * len(lines) + 14), STRIP)
    pen = ImageDraw.Draw(strip)
    legend_left = _legend(pen, width, 7 + pitch / 2) if legend else width
    for row, line in enumerate(lines):
        room = (legend_left if row == 0 else width) - 24
        pen.text((12, 7 + pitch * (row + 0.5)), line, TEXT, _fitting_font(pen, line, room), anchor="lm")
    return np.asarray(strip)


def _legend(pen: ImageDraw.ImageDraw, width: int, middle: float) -> float:
    """Colour keys for OFF and ON, flush right; returns where they begin."""
    small, right = font(TAG_FONT_PX), width - 12.0
    for name, colour in (("OFF", OFF), ("ON", ON)):
        right -= pen.textlength(name, small)
        pen.text((right, middle), name, TEXT, small, anchor="lm")
        pen.rectangle((right - 17, middle - 6, right - 6, middle + 5), fill=colour)
        right -= 31
    return right


def _fitting_font(pen: ImageDraw.ImageDraw, text: str, room: float) -> Font:
    """The largest font of at most TEXT_FONT_PX in which the text fits the room."""
    for size in range(TEXT_FONT_PX, SMALLEST_FONT_PX, -1):
        if pen.textlength(text, font(size)) <= room:
            return font(size)
    return font(SMALLEST_FONT_PX)


@cache
def font(size_px: int) -> Font:
    """Pillow's own scalable font: the same on every machine."""
    return ImageFont.load_default(size_px)
