"""Paints the slices of random clips and streaming lanes into a batch, and says what is to be seen in them.

Shapes: K slices, P channels, h and w input pixels, N slices of a recording.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.training.augment.boxes import follow
from spikewatch.model.training.augment.options import Augmentation, Look, draw_look, draw_touch
from spikewatch.model.training.augment.render import Scale, draw_slices, finish
from spikewatch.model.training.augment.time_jitter import moved_bounds, still_bounds
from spikewatch.model.training.augment.transforms import draw_mosaic
from spikewatch.model.training.datasets.input_boxes import BoxRules, InputBoxes, joined
from spikewatch.model.training.loader.clips import Clips
from spikewatch.model.training.loader.streams import Run
from spikewatch.model.training.slice_cache.cache import CutRecording
from spikewatch.model.training.slice_cache.reader import HalvesReader

Seen = list[InputBoxes | None]
"""The boxes at the end of each slice; None where nothing is known."""

Frames = NDArray[np.uint8]
"""uint8 [K,P,h,w], any strides."""


class Painter:
    """Draws from the recordings of a training set, by a reader of their half slices."""

    def __init__(
        self,
        recordings: Sequence[CutRecording],
        reader: HalvesReader,
        scale: Scale,
        how: Augmentation,
        rules: BoxRules,
        warm_up: int,
    ) -> None:
        self._recordings, self._reader = recordings, reader
        self._scale, self._how, self._rules, self._warm_up = scale, how, rules, warm_up

    def run(self, run: Run, visit: Sequence[int], step: int, out: Frames) -> Seen:
        """Paint a run of a streaming lane; what is drawn by lot goes by the visit, noise by the step too."""
        lot = np.random.default_rng(visit)
        look = draw_look(self._how, lot, out.shape[2], out.shape[3], clip=False)
        bounds = self._bounds(run.recording, look.jitter, lot)
        rng = np.random.default_rng([*visit, step])
        seen = self._paint(run.recording, run.start, look, bounds, rng, out)
        finish(look.touch, self._scale, out, rng)
        return seen

    def clip(self, clips: Clips, number: int, rng: np.random.Generator, out: Frames) -> Seen:
        """Paint the random clip of that number, or four of them."""
        recording, start = int(clips.recording[number]), int(clips.start[number])
        if rng.random() < self._how.mosaic:
            seen = self._mosaic(clips, recording, start, rng, out)
        else:
            look = draw_look(self._how, rng, out.shape[2], out.shape[3], clip=True)
            bounds = self._bounds(recording, look.jitter, rng)
            seen = self._paint(recording, start, look, bounds, rng, out)
            finish(look.touch, self._scale, out, rng)
        return [None if k < self._warm_up else boxes for k, boxes in enumerate(seen)]

    def _mosaic(
        self, clips: Clips, recording: int, start: int, rng: np.random.Generator, out: Frames
    ) -> Seen:
        """A clip and three others, shifted in time so that the last label of each is at the same slice."""
        at = self._last_label(recording, start, len(out)) - start
        picked = [(recording, start)]
        for other in rng.integers(len(clips), size=3).tolist():
            own, begin = int(clips.recording[other]), int(clips.start[other])
            picked.append((own, self._last_label(own, begin, len(out)) - at))
        parts: list[Seen] = []
        for (own, begin), placement in zip(
            picked, draw_mosaic(self._how, rng, out.shape[2], out.shape[3]), strict=True
        ):
            look = Look(placement, draw_touch(self._how, rng), bool(rng.random() < self._how.jitter))
            bounds = self._bounds(own, look.jitter, rng)
            parts.append(self._paint(own, begin, look, bounds, rng, out))
        finish(draw_touch(self._how, rng), self._scale, out, rng)
        return [joined(at_k) for at_k in zip(*parts, strict=True)]

    def _last_label(self, recording: int, start: int, slices: int) -> int:
        labelled = self._recordings[recording].grid.labelled
        return int(labelled[np.searchsorted(labelled, start + slices) - 1])

    def _bounds(self, recording: int, jitter: bool, rng: np.random.Generator) -> NDArray[np.int64]:
        grid = self._recordings[recording].grid
        return moved_bounds(grid, rng) if jitter else still_bounds(len(grid))

    def _paint(
        self,
        recording: int,
        start: int,
        look: Look,
        bounds: NDArray[np.int64],
        rng: np.random.Generator,
        out: Frames,
    ) -> Seen:
        """Slices from `start` on; those before and after the recording stay blank, and nothing is known."""
        first, last = max(start, 0), min(start + len(out), len(bounds) - 1)
        tile = look.placement.tile
        for blank in (out[: first - start], out[last - start :]):
            blank[..., tile.y0 : tile.y1, tile.x0 : tile.x1] = 0
        own = bounds[first : last + 1]
        halves = self._reader.read(recording, int(own[0]), int(own[-1]))
        seed, inner = int(rng.integers(1 << 62)), out[first - start : last - start]
        draw_slices(halves, own - own[0], look.placement, look.touch, self._scale, inner, seed)
        return self._seen(recording, start, len(out), look, out.shape[3])

    def _seen(self, recording: int, start: int, slices: int, look: Look, width: int) -> Seen:
        """What is known at the ends of slices [start, start + slices)."""
        source = self._recordings[recording]
        labelled = source.grid.labelled
        seen: Seen = [None] * slices
        for i in range(*np.searchsorted(labelled, (start, start + slices)).tolist()):
            boxes = source.labels.at(i)
            erased = look.touch.erased
            seen[int(labelled[i]) - start] = follow(boxes, look.placement, width, erased, self._rules)
        return seen
