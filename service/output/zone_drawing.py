"""Zones and lines over a picture of events, with their counts."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from spikewatch.service.inference.images import RgbImage
from spikewatch.service.output.drawing import BACKGROUND, LABEL_FONT_PX, Colour, load_font
from spikewatch.service.schemas import ZoneCount
from spikewatch.service.zones.schema import Corner, Zone

ZONE_COLOUR: Colour = (204, 121, 167)
"""Purple of Okabe and Ito's palette, which no class of the default weights has."""

LINE_PX = 2
TEXT_OFFSET_PX = 4


def draw_zones(
    image: RgbImage, zones: Sequence[Zone], counts: Sequence[ZoneCount], scale: int = 1
) -> RgbImage:
    """Return the picture, uint8 [S H, S W, 3], with zones in sensor pixels and their counts drawn over it.

    counts: of each zone in the same order; empty before the first result.
    """
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    font = load_font(LABEL_FONT_PX)
    for number, zone in enumerate(zones):
        corners = [(x * scale, y * scale) for x, y in _corners(zone)]
        pen.line(corners, BACKGROUND, LINE_PX + 2)
        pen.line(corners, ZONE_COLOUR, LINE_PX)
        text = zone_caption(zone, counts[number] if counts else None)
        x, y = _text_place(corners, pen.textlength(text, font), picture.size)
        pen.text((x, y), text, ZONE_COLOUR, font, stroke_width=2, stroke_fill=BACKGROUND)
    drawn: RgbImage = np.asarray(picture)
    return drawn


def zone_caption(zone: Zone, count: ZoneCount | None) -> str:
    """Return the name of a zone with its totals over all classes."""
    if count is None:
        return zone.name
    entered, left, inside = (sum(values.values()) for values in (count.entered, count.left, count.inside))
    if zone.line is not None:
        return f"{zone.name}: {entered} in, {left} out"
    return f"{zone.name}: {inside} inside, {entered} in, {left} out"


def _corners(zone: Zone) -> tuple[Corner, ...]:
    """Return the corners of the path to draw; that of a polygon ends where it begins."""
    if zone.line is not None:
        return zone.line
    assert zone.polygon is not None
    return (*zone.polygon, zone.polygon[0])


def _text_place(
    corners: Sequence[tuple[float, float]], text_width: float, image_size: tuple[int, int]
) -> tuple[float, float]:
    """Return the left top of the text: at the topmost corner, within the picture."""
    x, y = min(corners, key=lambda corner: (corner[1], corner[0]))
    width, height = image_size
    left = min(x + TEXT_OFFSET_PX, width - text_width - TEXT_OFFSET_PX)
    top = min(y + TEXT_OFFSET_PX, height - LABEL_FONT_PX - TEXT_OFFSET_PX)
    return max(left, TEXT_OFFSET_PX), max(top, TEXT_OFFSET_PX)
