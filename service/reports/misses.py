"""What the detector saw at an image that it got wrong, with the boxes labelled and detected drawn in."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from html import escape
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from spikewatch.model.training.datasets.coco_images import CocoImages
from spikewatch.model.training.datasets.event_history import Past
from spikewatch.model.training.datasets.labelled_recording import Labelled
from spikewatch.model.training.evaluation.evaluation import Evaluation
from spikewatch.model.training.evaluation.misses import CONFIDENT, HIT_IOU, Miss, worst_misses
from spikewatch.model.training.evaluation.scored_image import ScoredImage
from spikewatch.service.inference.images import read_still
from spikewatch.service.output.drawing import BANNER, TEXT, Colour, event_image

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


MOST_SHOWN = 24
"""Pictures of each kind."""


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Worst misses: {title}</title>
<style>
body {{ background: #0d1117; color: #e6edf3; font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }}
p.headline {{ background: #f0e442; color: #0d1117; padding: .4rem .8rem; }}
section {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 1.2rem; }}
figure {{ margin: 0; }}
img {{ width: 100%; }}
figcaption {{ font-size: 13px; }}
b.wrong {{ color: #f0e442; }} b.found {{ color: #e67814; }}
</style>
<h1>Worst misses: {title}</h1>
<p class="headline">{headline}</p>
<p>Labelled objects are white, boxes above confidence {confident:g} <b class="found">orange</b>, the miss
thick and <b class="wrong">yellow</b>. A box hits an object of its class that it overlaps by {iou:g} or more.
Each image is shown once in a list, by its worst miss. Of recordings, the last {shown_ms:g} ms before the
label are seen.</p>
<h2>Boxes where nothing is, the most confident first</h2>
{false}
<h2>Objects without a box, the largest first</h2>
{missed}
</html>
"""


_FIGURE = '<figure><img src="{picture}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def misses_page(done: Evaluation, title: str, headline: str, look: Look, most: int = MOST_SHOWN) -> str:
    """The page; look: shows an image."""
    false, missed = worst_misses(done.images, most)
    return _PAGE.format(
        title=escape(title),
        headline=escape(headline),
        confident=CONFIDENT,
        iou=HIT_IOU,
        shown_ms=SHOWN_US / 1000,
        false=_figures(done, false, look),
        missed=_figures(done, missed, look),
    )


def _figures(done: Evaluation, misses: Sequence[Miss], look: Look) -> str:
    if not misses:
        return "<p>None.</p>"
    return "<section>\n" + "\n".join(_figure(done, miss, look) for miss in misses) + "\n</section>"


def _figure(done: Evaluation, miss: Miss, look: Look) -> str:
    image = done.images[miss.image]
    source, seen = look(image)
    ids = image.found.class_id if miss.kind == "false_positive" else image.truth.class_id
    label = done.score.classes[ids[miss.box]].name
    size = f"{miss.weight:.3f}" if miss.kind == "false_positive" else f"{miss.weight:,.0f} px²"
    when = "" if done.rules is None else f", {image.t_us / 1e6:.6f} s"
    others = f", and {miss.others} more" if miss.others else ""
    text = escape(f"{label} {size}: {source}{when}{others}")
    return _FIGURE.format(picture=data_url(miss_picture(seen, image, miss)), text=text)
