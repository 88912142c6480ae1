"""An annotated video: one picture a slice, in real time, boxes held until the next result."""

from pathlib import Path
from types import TracebackType
from typing import Self

from spikewatch.model.spec import ModelSpec
from spikewatch.service.inference.offline import Seen
from spikewatch.service.output.drawing import annotate, enlargement, event_image
from spikewatch.service.output.video import VideoWriter, real_time_fps
from spikewatch.service.schemas import Summary, Window


class AnnotatedVideo:
    """A `ResultWriter` that draws. The banner says what the weights are worth."""

    def __init__(self, path: Path, sensor: tuple[int, int], slice_us: int, spec: ModelSpec) -> None:
        self._path = path
        self._scale = enlargement(sensor[0])
        self._fps = real_time_fps(slice_us)
        self._spec = spec
        self._video: VideoWriter | None = None
        self._latest: Window | None = None
        self._t0_us: int | None = None

    def write(self, seen: Seen) -> None:
        """Draw the slice with the newest boxes."""
        self._latest = seen.windows[-1] if seen.windows else self._latest
        if seen.part is None:
            return
        boxes = self._latest.detections if self._latest else []
        self._t0_us = seen.part.t0_us if self._t0_us is None else self._t0_us
        picture = annotate(
            event_image(seen.part.frame, self._scale),
            [(box.x, box.y, box.w, box.h) for box in boxes],
            [box.label for box in boxes],
            [box.confidence for box in boxes],
            self._caption(seen.part.t1_us - self._t0_us, seen.part.n_events),
            f"{self._spec.name}: {banner(self._spec.training)}",
            scale=self._scale,
            track_ids=[box.track_id for box in boxes],
        )
        if self._video is None:
            height, width = picture.shape[:2]
            self._video = VideoWriter(self._path, self._fps, (width, height)).__enter__()
        self._video.write(picture)

    def finish(self, summary: Summary) -> None:
        """Nothing is left to draw."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the video; after an error nothing is left behind."""
        if self._video is not None:
            self._video.__exit__(kind, error, trace)

    def _caption(self, elapsed_us: int, n_events: int) -> list[str]:
        first = f"{elapsed_us / 1e6:6.2f} s   {n_events:,} events"
        window = self._latest
        if window is None:
            return [first, "filling the first window"]
        energy = window.energy_mj
        return [
            f"{first}   {len(window.detections)} boxes",
            f"firing rate {window.firing_rate:.1%}   "
            f"energy {energy.snn:.2f} mJ spiking, {energy.ann:.2f} mJ as an ANN",
        ]


def banner(training: str) -> str:
    """What the weights are worth, in words that nobody can miss."""
    return (
        "untrained weights: boxes, rates and energy mean nothing yet" if training == "untrained" else training
    )
