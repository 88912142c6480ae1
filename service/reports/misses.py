"""What the detector saw at an image that it got wrong, with the boxes labelled and detected drawn in."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from spikewatch.model.training.datasets.coco_images import CocoImages
from spikewatch.model.training.datasets.event_history import Past
from spikewatch.model.training.datasets.labelled_recording import Labelled
from spikewatch.model.training.evaluation.misses import CONFIDENT, Miss
from spikewatch.model.training.evaluation.scored_image import ScoredImage
from spikewatch.service.inference.images import read_still
from spikewatch.service.output.drawing import event_image
from spikewatch.service.output.palette import BANNER, TEXT, Colour

Picture = NDArray[np.uint8]

Look = Callable[[ScoredImage], tuple[str, Picture]]
"""The name of an image's source, and what is seen there, uint8 [H,W,3]."""

SHOWN_US = 50_000
"""Events of this long before a label are shown."""

WIDTH_PX = 480
"""Small sensors are enlarged to at least this width."""

LABELLED: Colour = TEXT
FOUND: Colour = (230, 120, 20)
WRONG: Colour = BANNER


def look_at_recordings(recordings: Sequence[Labelled]) -> Look:
    """The events just before an image's time."""

    def look(image: ScoredImage) -> tuple[str, Picture]:
        each = recordings[image.source]
        with each.open() as recording:
            recording.seek(image.t_us - SHOWN_US)
            frame = Past(recording, "polarity_counts").frame(image.t_us - SHOWN_US, image.t_us)
        return each.events.name, event_image(frame, 1)

    return look


def look_at_pictures(images: CocoImages) -> Look:
    """The picture itself."""

    def look(image: ScoredImage) -> tuple[str, Picture]:
        path = images.pictures[image.source].path
        return path.name, read_still(path)

    return look


def miss_picture(seen: Picture, image: ScoredImage, miss: Miss) -> bytes:
    """A PNG: objects labelled in white, confident boxes in orange, the miss thick and in yellow."""
    scale = max(1, round(WIDTH_PX / seen.shape[1]))
    picture = Image.fromarray(seen.repeat(scale, 0).repeat(scale, 1))
    pen = ImageDraw.Draw(picture)
    for box, confidence in zip(image.found.xywh, image.found.confidence, strict=True):
        if confidence > CONFIDENT:
            _outline(pen, box, scale, FOUND, 2)
    for box in image.truth.xywh:
        _outline(pen, box, scale, LABELLED, 1)
    boxes = image.found.xywh if miss.kind == "false_positive" else image.truth.xywh
    _outline(pen, boxes[miss.box], scale, WRONG, 4)
    file = BytesIO()
    picture.quantize(64).save(file, "PNG", optimize=True)
    return file.getvalue()


def _outline(
    pen: ImageDraw.ImageDraw, box: NDArray[np.floating], scale: int, colour: Colour, width: int
) -> None:
    left, top, w, h = (float(value) * scale for value in box)
    pen.rectangle((left, top, left + max(w - 1, 0), top + max(h - 1, 0)), outline=colour, width=width)


def data_url(png: bytes) -> str:
    """A picture as the address of itself, so that a page needs no other file."""
    return "data:image/png;base64," + b64encode(png).decode()
