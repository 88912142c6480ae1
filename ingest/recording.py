"""Base class of all recording readers, and the summary of one pass over a recording."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from spikewatch.ingest.errors import GeometryError
from spikewatch.ingest.events import DecodeStats, Events


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """Summary of one full pass over a recording; width and height are None if the file lacks them."""

    format: str
    width: int | None
    height: int | None
    events: int
    t_first_us: int | None
    t_last_us: int | None
    duration_us: int
    dropped: dict[str, int]


class Recording(ABC):
    """A file of events, usable as a context manager; `close` releases the file.

    Attributes:
        width, height: pixels; None if neither the file nor the caller gives them.
        stats: events delivered and dropped by the running or last `chunks()`.
    """

    def __init__(self, path: Path, format: str, width: int | None, height: int | None) -> None:
        self.path = path
        self.format = format
        self.width = width
        self.height = height
        self.stats = DecodeStats()

    @abstractmethod
    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        """Yield events in file order, in non-empty arrays (N,) of at most max_events.

        Each call restarts at the beginning, or at the `seek` time, and replaces `stats`.
        """

    @abstractmethod
    def seek(self, t_us: int) -> None:
        """Make later `chunks()` yield only events with t >= t_us."""

    @abstractmethod
    def progress(self) -> float:
        """Return the share of the file that the running `chunks()` has read, 0 to 1."""

    @abstractmethod
    def close(self) -> None:
        """Release the file. Idempotent."""

    def info(self) -> RecordingInfo:
        """Read the recording once, from the `seek` time, and summarise it. First and last are by time."""
        events, first, last = 0, None, None
        for chunk in self.chunks():
            t = chunk["t"]
            low, high = int(t.min()), int(t.max())
            first = low if first is None else min(first, low)
            last = high if last is None else max(last, high)
            events += len(chunk)
        return RecordingInfo(
            format=self.format,
            width=self.width,
            height=self.height,
            events=events,
            t_first_us=first,
            t_last_us=last,
            duration_us=0 if first is None or last is None else last - first,
            dropped=dict(self.stats.dropped),
        )

    def sensor_size(self) -> tuple[int, int]:
        """Return (width, height) in pixels.

        Raises:
            GeometryError: neither the file nor the caller gives the size.
        """
        if self.width is None or self.height is None:
            raise GeometryError(f"{self.path} does not name its sensor size; pass --width and --height")
        return self.width, self.height

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
