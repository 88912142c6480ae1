"""Annotated pictures of event frames; H, W: sensor pixels; S: scale, a whole enlargement; N boxes."""

from collections.abc import Sequence
from itertools import zip_longest
from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from spikewatch.service.output.captions import TAG_FONT_PX, Picture, banner_band, caption_strip, font
from spikewatch.service.output.palette import GROUND, OFF, ON, Colour, label_colour

Rectangle = tuple[int, int, int, int]

COMFORTABLE_WIDTH_PX = 960
"""Small sensors are enlarged to at least this width."""

NO_EVENT = 127
"""The value of a pixel without events in a `latest_polarity` frame."""


def enlargement(sensor_width: int) -> int:
    """The smallest whole factor that makes a picture at least COMFORTABLE_WIDTH_PX wide."""
    return max(1, ceil(COMFORTABLE_WIDTH_PX / sensor_width))


def event_image(frame: NDArray[np.generic], scale: int) -> Picture:
    """A slice frame as a picture, uint8 [S H, S W, 3], each pixel enlarged to S x S.

    frame: `polarity_counts` [2, H, W] (channel 0 OFF, 1 ON) or `latest_polarity` [1, H, W] (0 OFF, 255 ON).
    """
    if frame.ndim != 3 or frame.shape[0] not in (1, 2):
        raise ValueError(f"frame has shape {frame.shape}; expected [2, H, W] counts or [1, H, W] polarities")
    off, on = _strengths(frame)
    ground = np.array(GROUND, np.float32)
    colour = ground + off[..., None] * (np.array(OFF, np.float32) - ground)
    colour += on[..., None] * (np.array(ON, np.float32) - colour)
    picture = np.rint(colour).astype(np.uint8)
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def _strengths(frame: NDArray[np.generic]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How visible OFF and ON are at each pixel, 0 to 1: one event is plain, more are brighter."""
    if frame.shape[0] == 1:
        return (frame[0] < NO_EVENT).astype(np.float32), (frame[0] > NO_EVENT).astype(np.float32)
    counts = frame.astype(np.float32)
    shown = 1 - 0.35 * np.exp2(1 - counts)
    return np.where(counts[0] > 0, shown[0], 0), np.where(counts[1] >= np.maximum(counts[0], 1), shown[1], 0)


def annotate(
    image: Picture,
    boxes_xywh: ArrayLike,
    labels: Sequence[str],
    confidences: Sequence[float],
    caption_lines: Sequence[str] = (),
    banner: str | None = None,
    *,
    scale: int = 1,
    legend: bool = True,
    track_ids: Sequence[int | None] = (),
) -> Picture:
    """The picture with boxes, a banner above and captions beneath: uint8 [H', S W, 3], H' even.

    boxes_xywh: [N, 4] sensor pixels, x, y the top-left corner; image: as `event_image` made it with scale.
    legend: say what the colours of events mean; track_ids: of each box, where they are known.
    """
    boxes = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)
    if not len(boxes) == len(labels) == len(confidences):
        raise ValueError(f"{len(boxes)} boxes, {len(labels)} labels, {len(confidences)} confidences")
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    outlines = [_outline(box, scale, picture.size) for box in boxes]
    for outline, label in zip(outlines, labels, strict=True):
        _draw_outline(pen, outline, label_colour(label), scale)
    names = [f"{label} #{i}" if i else label for label, i in zip_longest(labels, track_ids)]
    tags = [f"{name} {confidence:.2f}" for name, confidence in zip(names, confidences, strict=True)]
    _draw_tags(pen, outlines, labels, tags, picture.size)
    parts = [np.asarray(picture)]
    if banner:
        parts.insert(0, banner_band(banner, picture.width))
    if caption_lines:
        parts.append(caption_strip(caption_lines, picture.width, legend))
    if sum(len(part) for part in parts) % 2:
        parts.append(parts[-1][-1:])
    return np.concatenate(parts)


def _outline(box: NDArray[np.float64], scale: int, size: tuple[int, int]) -> Rectangle:
    """Left, top, right, bottom in picture pixels, both ends included, clipped to the picture."""
    x, y, w, h = box
    corners = np.rint(np.array([x, y, x + w, y + h]) * scale) - (0, 0, 1, 1)
    limits = np.array([size[0] - 1, size[1] - 1] * 2)
    left, top, right, bottom = np.clip(corners, 0, limits).astype(int).tolist()
    return left, top, max(left, right), max(top, bottom)


def _draw_outline(pen: ImageDraw.ImageDraw, outline: Rectangle, colour: Colour, scale: int) -> None:
    left, top, right, bottom = outline
    width = max(2, scale // 2 + 1)
    # a dark rim keeps the colour apart from white event edges
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=GROUND)
    if right - left > 2 * width and bottom - top > 2 * width:
        pen.rectangle((left + width, top + width, right - width, bottom - width), outline=GROUND)
    pen.rectangle(outline, outline=colour, width=width)


def _draw_tags(
    pen: ImageDraw.ImageDraw,
    outlines: Sequence[Rectangle],
    labels: Sequence[str],
    tags: Sequence[str],
    size: tuple[int, int],
) -> None:
    """What each box is on a plate of its colour, where no other plate is in the way."""
    tag_font = font(TAG_FONT_PX)
    placed: list[Rectangle] = []
    for outline, label, text in zip(outlines, labels, tags, strict=True):
        plate = (ceil(pen.textlength(text, tag_font)) + 10, TAG_FONT_PX + 6)
        tag = _free_place(outline, plate, placed, size)
        placed.append(tag)
        pen.rectangle(tag, fill=label_colour(label))
        pen.text((tag[0] + 5, (tag[1] + tag[3]) / 2), text, GROUND, tag_font, anchor="lm")


def _free_place(
    outline: Rectangle, plate: tuple[int, int], placed: Sequence[Rectangle], size: tuple[int, int]
) -> Rectangle:
    """Above the box, else below, else inside it; above again, pushed into the picture, when all are taken."""
    left, top, right, bottom = outline
    width, height = plate
    tops = (top - height, bottom + 1, top, bottom - height)
    columns = (left, max(left, right - width + 1))
    places = [(x, y, x + width - 1, y + height - 1) for y in tops for x in columns]
    inside = [_pushed_inside(p, size) for p in places if p[1] >= 0 and p[3] < size[1]]
    free = (p for p in inside if not any(_overlap(p, other) for other in placed))
    return next(free, _pushed_inside(places[0], size))


def _pushed_inside(place: Rectangle, size: tuple[int, int]) -> Rectangle:
    left, top, right, bottom = place
    dx = min(0, size[0] - 1 - right) - min(0, left)
    dy = min(0, size[1] - 1 - bottom) - min(0, top)
    return left + dx, top + dy, right + dx, bottom + dy


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
