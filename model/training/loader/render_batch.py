"""Paints the slices of random clips and streaming lanes into a batch, and says what is to be seen in them.

Shapes: K slices, P channels, h and w input pixels, N slices of a recording.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.training.augment.boxes import transform_boxes
from spikewatch.model.training.augment.options import (
    Augmentation,
    SampledAugmentation,
    sample_augmentation,
    sample_intensity,
)
from spikewatch.model.training.augment.render import Quantisation, apply_intensity, render_slices
from spikewatch.model.training.augment.time_jitter import fixed_bounds, jittered_bounds
from spikewatch.model.training.augment.transforms import sample_mosaic
from spikewatch.model.training.datasets.input_boxes import InputBoxes, TrainingBoxFilter, concat_boxes
from spikewatch.model.training.loader.clips import Clips
from spikewatch.model.training.loader.streams import StreamSegment
from spikewatch.model.training.slice_cache.cache import CachedRecording
from spikewatch.model.training.slice_cache.reader import HalfSliceReader

SliceBoxes = list[InputBoxes | None]
"""The boxes at the end of each slice; None where nothing is known."""

Frames = NDArray[np.uint8]
"""uint8 [K,P,h,w], any strides."""


class BatchRenderer:
    """Draws from the recordings of a training set, by a reader of their half slices."""

    def __init__(
        self,
        recordings: Sequence[CachedRecording],
        reader: HalfSliceReader,
        quantisation: Quantisation,
        augmentation: Augmentation,
        box_filter: TrainingBoxFilter,
        warm_up: int,
    ) -> None:
        self._recordings, self._reader = recordings, reader
        self._quantisation, self._augmentation, self._box_filter, self._warm_up = (
            quantisation,
            augmentation,
            box_filter,
            warm_up,
        )

    def render_stream(
        self, segment: StreamSegment, seed: Sequence[int], step: int, out: Frames
    ) -> SliceBoxes:
        """Paint a run of a streaming lane; what is drawn by lot goes by the visit, noise by the step too."""
        lot = np.random.default_rng(seed)
        look = sample_augmentation(self._augmentation, lot, out.shape[2], out.shape[3], clip=False)
        bounds = self._bounds(segment.recording, look.jitter, lot)
        rng = np.random.default_rng([*seed, step])
        seen = self._render(segment.recording, segment.start, look, bounds, rng, out)
        apply_intensity(look.intensity, self._quantisation, out, rng)
        return seen

    def render_clip(self, clips: Clips, number: int, rng: np.random.Generator, out: Frames) -> SliceBoxes:
        """Paint the random clip of that number, or four of them."""
        recording, start = int(clips.recording[number]), int(clips.start[number])
        if rng.random() < self._augmentation.mosaic:
            seen = self._render_mosaic(clips, recording, start, rng, out)
        else:
            look = sample_augmentation(self._augmentation, rng, out.shape[2], out.shape[3], clip=True)
            bounds = self._bounds(recording, look.jitter, rng)
            seen = self._render(recording, start, look, bounds, rng, out)
            apply_intensity(look.intensity, self._quantisation, out, rng)
        return [None if k < self._warm_up else boxes for k, boxes in enumerate(seen)]

    def _render_mosaic(
        self, clips: Clips, recording: int, start: int, rng: np.random.Generator, out: Frames
    ) -> SliceBoxes:
        """A clip and three others, shifted in time so that the last label of each is at the same slice."""
        at = self._last_label(recording, start, len(out)) - start
        picked = [(recording, start)]
        for other in rng.integers(len(clips), size=3).tolist():
            own, begin = int(clips.recording[other]), int(clips.start[other])
            picked.append((own, self._last_label(own, begin, len(out)) - at))
        parts: list[SliceBoxes] = []
        for (own, begin), placement in zip(
            picked, sample_mosaic(self._augmentation, rng, out.shape[2], out.shape[3]), strict=True
        ):
            look = SampledAugmentation(
                placement,
                sample_intensity(self._augmentation, rng),
                bool(rng.random() < self._augmentation.jitter),
            )
            bounds = self._bounds(own, look.jitter, rng)
            parts.append(self._render(own, begin, look, bounds, rng, out))
        apply_intensity(sample_intensity(self._augmentation, rng), self._quantisation, out, rng)
        return [concat_boxes(at_k) for at_k in zip(*parts, strict=True)]

    def _last_label(self, recording: int, start: int, slices: int) -> int:
        labelled = self._recordings[recording].grid.labelled
        return int(labelled[np.searchsorted(labelled, start + slices) - 1])

    def _bounds(self, recording: int, jitter: bool, rng: np.random.Generator) -> NDArray[np.int64]:
        grid = self._recordings[recording].grid
        return jittered_bounds(grid, rng) if jitter else fixed_bounds(len(grid))

    def _render(
        self,
        recording: int,
        start: int,
        look: SampledAugmentation,
        bounds: NDArray[np.int64],
        rng: np.random.Generator,
        out: Frames,
    ) -> SliceBoxes:
        """Slices from `start` on; those before and after the recording stay blank, and nothing is known."""
        first, last = max(start, 0), min(start + len(out), len(bounds) - 1)
        tile = look.placement.tile
        for blank in (out[: first - start], out[last - start :]):
            blank[..., tile.y0 : tile.y1, tile.x0 : tile.x1] = 0
        own = bounds[first : last + 1]
        halves = self._reader.read(recording, int(own[0]), int(own[-1]))
        seed, inner = int(rng.integers(1 << 62)), out[first - start : last - start]
        render_slices(halves, own - own[0], look.placement, look.intensity, self._quantisation, inner, seed)
        return self._slice_boxes(recording, start, len(out), look, out.shape[3])

    def _slice_boxes(
        self, recording: int, start: int, slices: int, look: SampledAugmentation, width: int
    ) -> SliceBoxes:
        """What is known at the ends of slices [start, start + slices)."""
        source = self._recordings[recording]
        labelled = source.grid.labelled
        seen: SliceBoxes = [None] * slices
        for i in range(*np.searchsorted(labelled, (start, start + slices)).tolist()):
            boxes = source.labels.at_label(i)
            erased = look.intensity.erased
            seen[int(labelled[i]) - start] = transform_boxes(
                boxes, look.placement, width, erased, self._box_filter
            )
        return seen
