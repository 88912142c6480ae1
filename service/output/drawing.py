"""Annotated pictures of event frames; H, W: sensor pixels; S: scale, a whole enlargement; N boxes."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import zip_longest
from math import ceil
from types import MappingProxyType
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from spikewatch.service.inference.event_counts import NO_EVENT_VALUE
from spikewatch.service.inference.images import RgbImage

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
Rectangle = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MIN_WIDTH_PX = 960
"""Small sensors are enlarged to at least this width."""

TEXT_FONT_PX, LABEL_FONT_PX, MIN_FONT_PX = 20, 16, 10

BACKGROUND: Colour = (13, 17, 23)
ON_COLOUR: Colour = (214, 232, 250)
OFF_COLOUR: Colour = (58, 104, 168)
BOTH_COLOUR: Colour = (250, 250, 250)
CAPTION_BACKGROUND: Colour = (22, 27, 34)
TEXT_COLOUR: Colour = (230, 237, 243)
BANNER_COLOUR: Colour = (240, 228, 66)

LABEL_COLOURS: Mapping[str, Colour] = MappingProxyType(
    {"car": (240, 160, 20), "pedestrian": (0, 200, 140), "person": (0, 200, 140)}
)
"""Orange and bluish green, after Okabe and Ito's palette, which the colour-blind can tell apart."""

FALLBACK_COLOURS: tuple[Colour, ...] = ((204, 121, 167), (213, 94, 0), (240, 228, 66), (120, 190, 255))
"""Purple, vermilion, yellow and sky blue of the same palette, for all other labels."""


def integer_scale(sensor_width: int) -> int:
    """The smallest whole factor that makes a picture at least MIN_WIDTH_PX wide."""
    return max(1, ceil(MIN_WIDTH_PX / sensor_width))


def event_image(frame: NDArray[np.generic], scale: int) -> RgbImage:
    """A slice frame as a picture, uint8 [S H, S W, 3], each pixel enlarged to S x S.

    frame: `polarity_counts` [2, H, W] (channel 0 OFF, 1 ON) or `latest_polarity` [1, H, W] (0 OFF, 255 ON).
    """
    if frame.ndim != 3 or frame.shape[0] not in (1, 2):
        raise ValueError(f"frame has shape {frame.shape}; expected [2, H, W] counts or [1, H, W] polarities")
    off, on = _polarity_intensities(frame)
    ground = np.array(BACKGROUND, np.float32)
    colour = ground + off[..., None] * (np.array(OFF_COLOUR, np.float32) - ground)
    colour += on[..., None] * (np.array(ON_COLOUR, np.float32) - colour)
    picture = np.rint(colour).astype(np.uint8)
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def _polarity_intensities(frame: NDArray[np.generic]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How visible OFF and ON are at each pixel, 0 to 1: one event is plain, more are brighter."""
    if frame.shape[0] == 1:
        return (frame[0] < NO_EVENT_VALUE).astype(np.float32), (frame[0] > NO_EVENT_VALUE).astype(np.float32)
    counts = frame.astype(np.float32)
    shown = 1 - 0.35 * np.exp2(1 - counts)
    return np.where(counts[0] > 0, shown[0], 0), np.where(counts[1] >= np.maximum(counts[0], 1), shown[1], 0)


def annotate(
    image: RgbImage,
    boxes_xywh: ArrayLike,
    labels: Sequence[str],
    confidences: Sequence[float],
    caption_lines: Sequence[str] = (),
    banner: str | None = None,
    *,
    scale: int = 1,
    legend: bool = True,
    track_ids: Sequence[int | None] = (),
) -> RgbImage:
    """The picture with boxes, a banner above and captions beneath: uint8 [H', S W, 3], H' even.

    boxes_xywh: [N, 4] sensor pixels, x, y the top-left corner; image: as `event_image` made it with scale.
    legend: say what the colours of events mean; track_ids: of each box, where they are known.
    """
    boxes = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)
    if not len(boxes) == len(labels) == len(confidences):
        raise ValueError(f"{len(boxes)} boxes, {len(labels)} labels, {len(confidences)} confidences")
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    outlines = [_box_outline(box, scale, picture.size) for box in boxes]
    for outline, label in zip(outlines, labels, strict=True):
        _draw_outline(pen, outline, label_colour(label), scale)
    names = [f"{label} #{i}" if i else label for label, i in zip_longest(labels, track_ids)]
    tags = [f"{name} {confidence:.2f}" for name, confidence in zip(names, confidences, strict=True)]
    _draw_labels(pen, outlines, labels, tags, picture.size)
    parts = [np.asarray(picture)]
    if banner:
        parts.insert(0, draw_banner(banner, picture.width))
    if caption_lines:
        parts.append(draw_captions(caption_lines, picture.width, legend))
    if sum(len(part) for part in parts) % 2:
        parts.append(parts[-1][-1:])
    return np.concatenate(parts)


def _box_outline(box: NDArray[np.float64], scale: int, image_size: tuple[int, int]) -> Rectangle:
    """Left, top, right, bottom in picture pixels, both ends included, clipped to the picture."""
    x, y, w, h = box
    corners = np.rint(np.array([x, y, x + w, y + h]) * scale) - (0, 0, 1, 1)
    limits = np.array([image_size[0] - 1, image_size[1] - 1] * 2)
    left, top, right, bottom = np.clip(corners, 0, limits).astype(int).tolist()
    return left, top, max(left, right), max(top, bottom)


def _draw_outline(canvas: ImageDraw.ImageDraw, outline: Rectangle, colour: Colour, scale: int) -> None:
    left, top, right, bottom = outline
    width = max(2, scale // 2 + 1)
    # a dark rim keeps the colour apart from white event edges
    canvas.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=BACKGROUND)
    if right - left > 2 * width and bottom - top > 2 * width:
        canvas.rectangle((left + width, top + width, right - width, bottom - width), outline=BACKGROUND)
    canvas.rectangle(outline, outline=colour, width=width)


def _draw_labels(
    canvas: ImageDraw.ImageDraw,
    outlines: Sequence[Rectangle],
    labels: Sequence[str],
    tags: Sequence[str],
    image_size: tuple[int, int],
) -> None:
    """Draw the label of each box on a plate of its colour, unless another plate is in the way."""
    tag_font = load_font(LABEL_FONT_PX)
    placed: list[Rectangle] = []
    for outline, label, text in zip(outlines, labels, tags, strict=True):
        plate = (ceil(canvas.textlength(text, tag_font)) + 10, LABEL_FONT_PX + 6)
        tag = _find_label_position(outline, plate, placed, image_size)
        placed.append(tag)
        canvas.rectangle(tag, fill=label_colour(label))
        canvas.text((tag[0] + 5, (tag[1] + tag[3]) / 2), text, BACKGROUND, tag_font, anchor="lm")


def _find_label_position(
    outline: Rectangle, label_size: tuple[int, int], placed: Sequence[Rectangle], image_size: tuple[int, int]
) -> Rectangle:
    """Above the box, else below, else inside it; above again, pushed into the picture, when all are taken."""
    left, top, right, bottom = outline
    width, height = label_size
    tops = (top - height, bottom + 1, top, bottom - height)
    columns = (left, max(left, right - width + 1))
    places = [(x, y, x + width - 1, y + height - 1) for y in tops for x in columns]
    inside = [_clamp_inside(p, image_size) for p in places if p[1] >= 0 and p[3] < image_size[1]]
    free = (p for p in inside if not any(_overlap(p, other) for other in placed))
    return next(free, _clamp_inside(places[0], image_size))


def _clamp_inside(place: Rectangle, image_size: tuple[int, int]) -> Rectangle:
    left, top, right, bottom = place
    dx = min(0, image_size[0] - 1 - right) - min(0, left)
    dy = min(0, image_size[1] - 1 - bottom) - min(0, top)
    return left + dx, top + dy, right + dx, bottom + dy


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def training_banner(training: str) -> str:
    """Return a sentence on the training of the weights, to show with every result."""
    return (
        "untrained weights: boxes, rates and energy mean nothing yet" if training == "untrained" else training
    )


def draw_banner(text: str, width: int) -> RgbImage:
    """A bright band across the whole picture."""
    band = Image.new("RGB", (width, TEXT_FONT_PX + 14), BANNER_COLOUR)
    pen = ImageDraw.Draw(band)
    pen.text(
        (width / 2, band.height / 2), text, BACKGROUND, _fitting_font(pen, text, width - 24), anchor="mm"
    )
    return np.asarray(band)


def draw_captions(lines: Sequence[str], width: int, legend: bool = True) -> RgbImage:
    """Draw the caption lines; the legend of event colours is at the right end of the first."""
    pitch = TEXT_FONT_PX + 8
    strip = Image.new("RGB", (width, pitch * len(lines) + 14), CAPTION_BACKGROUND)
    pen = ImageDraw.Draw(strip)
    legend_left = _draw_legend(pen, width, 7 + pitch / 2) if legend else width
    for row, line in enumerate(lines):
        room = (legend_left if row == 0 else width) - 24
        pen.text(
            (12, 7 + pitch * (row + 0.5)), line, TEXT_COLOUR, _fitting_font(pen, line, room), anchor="lm"
        )
    return np.asarray(strip)


def _draw_legend(canvas: ImageDraw.ImageDraw, width: int, middle: float) -> float:
    """Colour keys for OFF and ON, flush right; returns where they begin."""
    small, right = load_font(LABEL_FONT_PX), width - 12.0
    for name, colour in (("OFF", OFF_COLOUR), ("ON", ON_COLOUR)):
        right -= canvas.textlength(name, small)
        canvas.text((right, middle), name, TEXT_COLOUR, small, anchor="lm")
        canvas.rectangle((right - 17, middle - 6, right - 6, middle + 5), fill=colour)
        right -= 31
    return right


def _fitting_font(canvas: ImageDraw.ImageDraw, text: str, max_width: float) -> Font:
    """The largest font of at most TEXT_FONT_PX in which the text fits the room."""
    for size in range(TEXT_FONT_PX, MIN_FONT_PX, -1):
        if canvas.textlength(text, load_font(size)) <= max_width:
            return load_font(size)
    return load_font(MIN_FONT_PX)


@cache
def load_font(size_px: int) -> Font:
    """Pillow's own scalable font: the same on every machine."""
    return ImageFont.load_default(size_px)


def label_colour(label: str) -> Colour:
    """The colour of a class; labels without one of their own share the rest of the palette."""
    if label in LABEL_COLOURS:
        return LABEL_COLOURS[label]
    return FALLBACK_COLOURS[crc32(label.encode()) % len(FALLBACK_COLOURS)]
