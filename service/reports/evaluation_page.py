"""A page of the worst misses: one HTML file with all its pictures inside."""

from collections.abc import Sequence
from html import escape

from spikewatch.model.training.evaluation.evaluation import Evaluation
from spikewatch.model.training.evaluation.misses import CONFIDENT, HIT_IOU, Miss, worst_misses
from spikewatch.service.reports.misses import SHOWN_US, Look, data_url, miss_picture

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
