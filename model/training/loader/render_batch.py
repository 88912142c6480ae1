"""Batch renderer: draws the slices of random clips and streams into a batch, and returns their boxes.

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
"""Boxes at the end of each slice; None if the labels are unknown."""

Frames = NDArray[np.uint8]
"""uint8 [K,P,h,w], any strides."""


class BatchRenderer:
    """Renderer of augmented slices from cached recordings."""

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
        """Render a segment of a stream.

        The augmentation depends on `seed` only, so it is constant over a visit. Noise also depends on `step`.
        """
        visit_rng = np.random.default_rng(seed)
        sampled = sample_augmentation(self._augmentation, visit_rng, out.shape[2], out.shape[3], clip=False)
        bounds = self._bounds(segment.recording, sampled.jitter, visit_rng)
        rng = np.random.default_rng([*seed, step])
        boxes = self._render(segment.recording, segment.start, sampled, bounds, rng, out)
        apply_intensity(sampled.intensity, self._quantisation, out, rng)
        return boxes

    def render_clip(self, clips: Clips, number: int, rng: np.random.Generator, out: Frames) -> SliceBoxes:
        """Render random clip `number`, or a mosaic of it and three other clips."""
        recording, start = int(clips.recording[number]), int(clips.start[number])
        if rng.random() < self._augmentation.mosaic:
            boxes = self._render_mosaic(clips, recording, start, rng, out)
        else:
            sampled = sample_augmentation(self._augmentation, rng, out.shape[2], out.shape[3], clip=True)
            bounds = self._bounds(recording, sampled.jitter, rng)
            boxes = self._render(recording, start, sampled, bounds, rng, out)
            apply_intensity(sampled.intensity, self._quantisation, out, rng)
        return [None if k < self._warm_up else of_slice for k, of_slice in enumerate(boxes)]

    def _render_mosaic(
        self, clips: Clips, recording: int, start: int, rng: np.random.Generator, out: Frames
    ) -> SliceBoxes:
        """Render a clip and three others, shifted in time so that their last labels are at the same slice."""
        label_slice = self._last_label(recording, start, len(out)) - start
        tiles = [(recording, start)]
        for other in rng.integers(len(clips), size=3).tolist():
            other_recording, other_start = int(clips.recording[other]), int(clips.start[other])
            last_label = self._last_label(other_recording, other_start, len(out))
            tiles.append((other_recording, last_label - label_slice))
        boxes: list[SliceBoxes] = []
        for (recording, start), placement in zip(
            tiles, sample_mosaic(self._augmentation, rng, out.shape[2], out.shape[3]), strict=True
        ):
            sampled = SampledAugmentation(
                placement,
                sample_intensity(self._augmentation, rng),
                bool(rng.random() < self._augmentation.jitter),
            )
            bounds = self._bounds(recording, sampled.jitter, rng)
            boxes.append(self._render(recording, start, sampled, bounds, rng, out))
        apply_intensity(sample_intensity(self._augmentation, rng), self._quantisation, out, rng)
        return [concat_boxes(of_slice) for of_slice in zip(*boxes, strict=True)]

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
        sampled: SampledAugmentation,
        bounds: NDArray[np.int64],
        rng: np.random.Generator,
        out: Frames,
    ) -> SliceBoxes:
        """Render slices from `start` on. Slices outside the recording are blank and have unknown labels."""
        first, last = max(start, 0), min(start + len(out), len(bounds) - 1)
        tile = sampled.placement.tile
        for blank in (out[: first - start], out[last - start :]):
            blank[..., tile.y0 : tile.y1, tile.x0 : tile.x1] = 0
        slice_bounds = bounds[first : last + 1]
        halves = self._reader.read(recording, int(slice_bounds[0]), int(slice_bounds[-1]))
        seed, inner = int(rng.integers(1 << 62)), out[first - start : last - start]
        render_slices(
            halves,
            slice_bounds - slice_bounds[0],
            sampled.placement,
            sampled.intensity,
            self._quantisation,
            inner,
            seed,
        )
        return self._slice_boxes(recording, start, len(out), sampled, out.shape[3])

    def _slice_boxes(
        self, recording: int, start: int, slices: int, sampled: SampledAugmentation, width: int
    ) -> SliceBoxes:
        """Return the boxes at the ends of slices [start, start + slices)."""
        source = self._recordings[recording]
        labelled = source.grid.labelled
        slice_boxes: SliceBoxes = [None] * slices
        for i in range(*np.searchsorted(labelled, (start, start + slices)).tolist()):
            boxes = source.labels.at_label(i)
            erased = sampled.intensity.erased
            slice_boxes[int(labelled[i]) - start] = transform_boxes(
                boxes, sampled.placement, width, erased, self._box_filter
            )
        return slice_boxes
