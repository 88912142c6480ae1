"""Base class of all recording readers, and the summary of one pass over a recording."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from spikewatch.ingest.errors import GeometryError, NoEventsError
from spikewatch.ingest.events import DecodeStats, Events, drop_warnings


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
    warnings: list[str] = field(default_factory=list)


def check_events(name: str, stats: DecodeStats, sensor_size: tuple[int | None, int | None]) -> None:
    """Check that a recording, read to its end, has delivered an event.

    Raises:
        NoEventsError: the message says what became of the events.
    """
    if stats.events:
        return
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dict(stats.dropped).items())
    if not reasons:
        raise NoEventsError(f"{name} has no events")
    width, height = sensor_size
    hint = f"; check the sensor size, {width}x{height}" if "outside_sensor" in stats.dropped else ""
    raise NoEventsError(f"{name}: no event can be used; dropped: {reasons}{hint}")


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
        """Read the recording once, from the `seek` time, and summarise it. First and last are by time.

        Raises:
            NoEventsError: see `check_events`.
        """
        events, first, last = 0, None, None
        for chunk in self.chunks():
            t = chunk["t"]
            low, high = int(t.min()), int(t.max())
            first = low if first is None else min(first, low)
            last = high if last is None else max(last, high)
            events += len(chunk)
        self.check_events()
        return RecordingInfo(
            format=self.format,
            width=self.width,
            height=self.height,
            events=events,
            t_first_us=first,
            t_last_us=last,
            duration_us=0 if first is None or last is None else last - first,
            dropped=dict(self.stats.dropped),
            warnings=self.warnings(),
        )

    def warnings(self) -> list[str]:
        """Return what the user should know about the running or last `chunks()`, one line each."""
        return drop_warnings(self.stats.events, self.stats.dropped)

    def check_events(self) -> None:
        """Check, after `chunks()`, that it has delivered an event.

        Raises:
            NoEventsError: the message says what became of the events.
        """
        check_events(str(self.path), self.stats, (self.width, self.height))

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
