"""Writes pictures as an MP4 that ordinary players can play; the file appears only when it is whole."""

import os
from collections.abc import Mapping
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

CODECS: tuple[str, ...] = ("libx264", "mpeg4")
"""H.264 where FFmpeg was built with x264, else MPEG-4 part 2."""

QUALITY: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qscale": "4"}}
)
"""Encoder options at which one-pixel events stay visible."""

LARGEST_DENOMINATOR = 1001
"""Frame rates are rounded to a fraction with at most this denominator; MPEG-4 allows 65535."""


def real_time_fps(slice_us: float) -> Fraction:
    """Pictures a second at which one picture a slice plays in real time: 62 500 µs gives 16."""
    if slice_us <= 0:
        raise ValueError(f"slice_us is {slice_us}; expected a positive number of microseconds")
    return (1_000_000 / Fraction(slice_us)).limit_denominator(LARGEST_DENOMINATOR)


class VideoWriter:
    """A context manager: `write` pictures of one size; the file takes its name when the block ends well.

    fps: pictures a second; size: (width, height) of the pictures, odd sides are padded by one pixel.
    """

    def __init__(self, path: str | Path, fps: float | Fraction, size: tuple[int, int]) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        self._fps = Fraction(fps).limit_denominator(LARGEST_DENOMINATOR)
        self._width, self._height = size
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None

    def __enter__(self) -> Self:
        """Opens a file beside the final one."""
        self._container = av.open(str(self._partial), "w", format="mp4", options={"movflags": "faststart"})
        try:
            self._stream = self._open_stream(self._container)
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finishes the file and gives it its name; after an error, leaves nothing behind."""
        if kind is not None:
            self._abandon()
            return
        container, stream = self._opened()
        try:
            for packet in stream.encode(None):
                container.mux(packet)
            container.close()
            os.replace(self._partial, self._path)
        except BaseException:
            self._abandon()
            raise

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Appends one picture, uint8 [H, W, 3] RGB."""
        container, stream = self._opened()
        if picture.shape != (self._height, self._width, 3) or picture.dtype != np.uint8:
            raise ValueError(
                f"picture is {picture.dtype} {picture.shape};"
                f" this video takes uint8 {(self._height, self._width, 3)}"
            )
        even = np.pad(picture, ((0, self._height % 2), (0, self._width % 2), (0, 0)), mode="edge")
        for packet in stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")):
            container.mux(packet)

    def _open_stream(self, container: OutputContainer) -> VideoStream:
        codec = _available_codec()
        stream = container.add_stream(codec, rate=self._fps, options=dict(QUALITY[codec]))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._width + self._width % 2, self._height + self._height % 2
        stream.pix_fmt = "yuv420p"
        return stream

    def _opened(self) -> tuple[OutputContainer, VideoStream]:
        if self._container is None or self._stream is None:
            raise RuntimeError("the video is not open; use `with VideoWriter(...) as video:`")
        return self._container, self._stream

    def _abandon(self) -> None:
        if self._container is not None:
            self._container.close()
        self._partial.unlink(missing_ok=True)


def _available_codec() -> str:
    """The first of CODECS that this FFmpeg can encode."""
    for name in CODECS:
        try:
            av.Codec(name, "w")
        except UnknownCodecError:
            continue
        return name
    raise RuntimeError(f"FFmpeg, as PyAV brings it, has none of the encoders {', '.join(CODECS)}")
