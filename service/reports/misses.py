"""Images with the worst errors, with the labelled and the detected boxes drawn in."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from html import escape
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from spikewatch.model.training.datasets.coco_images import CocoImages
from spikewatch.model.training.datasets.event_history import EventHistory
from spikewatch.model.training.datasets.labelled_recording import LabelledRecording
from spikewatch.model.training.evaluation.evaluation import Evaluation
from spikewatch.model.training.evaluation.misses import HIT_IOU, MIN_CONFIDENCE, Miss, worst_misses
from spikewatch.model.training.evaluation.scored_image import ScoredImage
from spikewatch.service.inference.images import RgbImage, read_image
from spikewatch.service.output.drawing import BANNER_COLOUR, TEXT_COLOUR, Colour, event_image

FrameLoader = Callable[[ScoredImage], tuple[str, RgbImage]]
"""Returns the name of an image's source, and its pixels, uint8 [H,W,3]."""

FRAME_DURATION_US = 50_000
"""Events of this long before a label are shown."""

MIN_WIDTH_PX = 480
"""Small sensors are enlarged to at least this width."""

LABELLED_COLOUR: Colour = TEXT_COLOUR
DETECTED_COLOUR: Colour = (230, 120, 20)
MISS_COLOUR: Colour = BANNER_COLOUR


def recording_frame_loader(recordings: Sequence[LabelledRecording]) -> FrameLoader:
    """The events just before an image's time."""

    def look(image: ScoredImage) -> tuple[str, RgbImage]:
        each = recordings[image.source]
        with each.open() as recording:
            recording.seek(image.t_us - FRAME_DURATION_US)
            frame = EventHistory(recording, "polarity_counts").frame(
                image.t_us - FRAME_DURATION_US, image.t_us
            )
        return each.events.name, event_image(frame, 1)

    return look


def image_frame_loader(images: CocoImages) -> FrameLoader:
    """The picture itself."""

    def look(image: ScoredImage) -> tuple[str, RgbImage]:
        path = images.images[image.source].path
        return path.name, read_image(path)

    return look


def draw_miss(frame: RgbImage, image: ScoredImage, miss: Miss) -> bytes:
    """A PNG: objects labelled in white, confident boxes in orange, the miss thick and in yellow."""
    scale = max(1, round(MIN_WIDTH_PX / frame.shape[1]))
    picture = Image.fromarray(frame.repeat(scale, 0).repeat(scale, 1))
    pen = ImageDraw.Draw(picture)
    for box, confidence in zip(image.detections.xywh, image.detections.confidence, strict=True):
        if confidence > MIN_CONFIDENCE:
            _draw_box(pen, box, scale, DETECTED_COLOUR, 2)
    for box in image.ground_truth.xywh:
        _draw_box(pen, box, scale, LABELLED_COLOUR, 1)
    boxes = image.detections.xywh if miss.kind == "false_positive" else image.ground_truth.xywh
    _draw_box(pen, boxes[miss.box], scale, MISS_COLOUR, 4)
    file = BytesIO()
    picture.quantize(64).save(file, "PNG", optimize=True)
    return file.getvalue()


def _draw_box(
    canvas: ImageDraw.ImageDraw, box: NDArray[np.floating], scale: int, colour: Colour, width: int
) -> None:
    left, top, w, h = (float(value) * scale for value in box)
    canvas.rectangle((left, top, left + max(w - 1, 0), top + max(h - 1, 0)), outline=colour, width=width)


def data_url(png: bytes) -> str:
    """A picture as the address of itself, so that a page needs no other file."""
    return "data:image/png;base64," + b64encode(png).decode()


MAX_SHOWN = 24
"""Pictures of each kind."""

_PAGE_TEMPLATE = """<!doctype html>
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

_FIGURE_TEMPLATE = '<figure><img src="{picture}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def misses_page(
    evaluation: Evaluation, title: str, headline: str, load_frame: FrameLoader, limit: int = MAX_SHOWN
) -> str:
    """The page; load_frame: shows an image."""
    false, missed = worst_misses(evaluation.images, limit)
    return _PAGE_TEMPLATE.format(
        title=escape(title),
        headline=escape(headline),
        confident=MIN_CONFIDENCE,
        iou=HIT_IOU,
        shown_ms=FRAME_DURATION_US / 1000,
        false=_render_misses(evaluation, false, load_frame),
        missed=_render_misses(evaluation, missed, load_frame),
    )


def _render_misses(evaluation: Evaluation, misses: Sequence[Miss], load_frame: FrameLoader) -> str:
    if not misses:
        return "<p>None.</p>"
    return (
        "<section>\n"
        + "\n".join(_render_miss(evaluation, miss, load_frame) for miss in misses)
        + "\n</section>"
    )


def _render_miss(evaluation: Evaluation, miss: Miss, load_frame: FrameLoader) -> str:
    image = evaluation.images[miss.image]
    source, seen = load_frame(image)
    ids = image.detections.class_id if miss.kind == "false_positive" else image.ground_truth.class_id
    label = evaluation.score.classes[ids[miss.box]].name
    size = f"{miss.weight:.3f}" if miss.kind == "false_positive" else f"{miss.weight:,.0f} px²"
    when = "" if evaluation.protocol is None else f", {image.t_us / 1e6:.6f} s"
    others = f", and {miss.others} more" if miss.others else ""
    text = escape(f"{label} {size}: {source}{when}{others}")
    return _FIGURE_TEMPLATE.format(picture=data_url(draw_miss(seen, image, miss)), text=text)
