"""Writes pictures as an MP4 that ordinary players can play; the file appears only when it is whole."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from spikewatch.atomic_file import atomic_write
from spikewatch.model.spec import ModelSpec
from spikewatch.service.inference.offline import OfflineStep
from spikewatch.service.output.drawing import annotate, event_image, integer_scale, training_banner
from spikewatch.service.output.zone_drawing import draw_zones
from spikewatch.service.schemas import Summary, Window
from spikewatch.service.zones.schema import Zone

CODECS: tuple[str, ...] = ("libx264", "mpeg4")
"""H.264 where FFmpeg was built with x264, else MPEG-4 part 2."""

ENCODER_OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qscale": "4"}}
)
"""Encoder options at which one-pixel events stay visible."""

MAX_FPS_DENOMINATOR = 1001
"""Frame rates are rounded to a fraction with at most this denominator; MPEG-4 allows 65535."""


def real_time_fps(slice_us: float) -> Fraction:
    """Pictures a second at which one picture a slice plays in real time: 62 500 µs gives 16."""
    if slice_us <= 0:
        raise ValueError(f"slice_us is {slice_us}; expected a positive number of microseconds")
    return (1_000_000 / Fraction(slice_us)).limit_denominator(MAX_FPS_DENOMINATOR)


class VideoWriter:
    """A context manager: `write` pictures of one size; the file takes its name when the block ends well.

    fps: pictures a second; frame_size: (width, height) of the pictures, odd sides are padded by one pixel.
    """

    def __init__(self, path: str | Path, fps: float | Fraction, frame_size: tuple[int, int]) -> None:
        """Open a file beside the final one."""
        self._fps = Fraction(fps).limit_denominator(MAX_FPS_DENOMINATOR)
        self._width, self._height = frame_size
        with ExitStack() as stack:
            partial = stack.enter_context(atomic_write(Path(path)))
            container = av.open(str(partial), "w", format="mp4", options={"movflags": "faststart"})
            stack.callback(container.close)
            self._container, self._stream = container, self._open_stream(container)
            stack.push(self._flush)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file and give it its name; after an error, leave nothing behind."""
        self._stack.__exit__(kind, error, trace)

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Appends one picture, uint8 [H, W, 3] RGB."""
        if picture.shape != (self._height, self._width, 3) or picture.dtype != np.uint8:
            raise ValueError(
                f"picture is {picture.dtype} {picture.shape};"
                f" this video takes uint8 {(self._height, self._width, 3)}"
            )
        even = np.pad(picture, ((0, self._height % 2), (0, self._width % 2), (0, 0)), mode="edge")
        for packet in self._stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")):
            self._container.mux(packet)

    def _open_stream(self, container: OutputContainer) -> VideoStream:
        codec = _available_codec()
        stream = container.add_stream(codec, rate=self._fps, options=dict(ENCODER_OPTIONS[codec]))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._width + self._width % 2, self._height + self._height % 2
        stream.pix_fmt = "yuv420p"
        return stream

    def _flush(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the pictures that the encoder still holds, unless the video is discarded after an error."""
        if kind is None:
            for packet in self._stream.encode(None):
                self._container.mux(packet)


def _available_codec() -> str:
    """The first of CODECS that this FFmpeg can encode."""
    for name in CODECS:
        try:
            av.Codec(name, "w")
        except UnknownCodecError:
            continue
        return name
    raise RuntimeError(f"FFmpeg, as PyAV brings it, has none of the encoders {', '.join(CODECS)}")


class AnnotatedVideo:
    """A `ResultWriter` that draws. The banner says what the weights are worth."""

    def __init__(
        self,
        path: Path,
        sensor_size: tuple[int, int],
        slice_us: int,
        spec: ModelSpec,
        zones: Sequence[Zone] = (),
    ) -> None:
        self._path = path
        self._zones = zones
        self._scale = integer_scale(sensor_size[0])
        self._fps = real_time_fps(slice_us)
        self._spec = spec
        self._video: VideoWriter | None = None
        self._latest_window: Window | None = None
        self._t0_us: int | None = None

    def write(self, step: OfflineStep) -> None:
        """Draw the slice with the newest boxes."""
        self._latest_window = step.windows[-1] if step.windows else self._latest_window
        if step.slice_ is None:
            return
        boxes = self._latest_window.detections if self._latest_window else []
        self._t0_us = step.slice_.t0_us if self._t0_us is None else self._t0_us
        image = event_image(step.slice_.frame, self._scale)
        if self._zones:
            counts = (self._latest_window.zones or []) if self._latest_window else []
            image = draw_zones(image, self._zones, counts, self._scale)
        picture = annotate(
            image,
            [(box.x, box.y, box.w, box.h) for box in boxes],
            [box.label for box in boxes],
            [box.confidence for box in boxes],
            self._caption_lines(step.slice_.t1_us - self._t0_us, step.slice_.n_events),
            f"{self._spec.name}: {training_banner(self._spec.training)}",
            scale=self._scale,
            track_ids=[box.track_id for box in boxes],
        )
        if self._video is None:
            height, width = picture.shape[:2]
            self._video = VideoWriter(self._path, self._fps, (width, height))
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

    def _caption_lines(self, elapsed_us: int, n_events: int) -> list[str]:
        first = f"{elapsed_us / 1e6:6.2f} s   {n_events:,} events"
        window = self._latest_window
        if window is None:
            return [first, "filling the first window"]
        energy = window.energy_mj
        return [
            f"{first}   {len(window.detections)} boxes",
            f"firing rate {window.firing_rate:.1%}   "
            f"energy {energy.snn:.2f} mJ spiking, {energy.ann:.2f} mJ as an ANN",
        ]
