"""Statistics of a run, updated window by window, for the live table."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


class RunStats:
    """Totals of all windows so far; `latest_window` is the last one added.

    Attributes:
        box_counts: by label, in all windows.
        events: in all windows.
        stream_us: time of the recording that the windows cover, each part once.
        snn_mj, ann_mj: energy of all windows.
    """

    def __init__(self) -> None:
        self.latest_window: Mapping[str, Any] | None = None
        self.box_counts: Counter[str] = Counter()
        self.track_ids: set[int] = set()
        self.events = self.windows = self.stream_us = 0
        self.snn_mj = self.ann_mj = 0.0
        self._start_s = time.monotonic()

    def add(self, window: Mapping[str, Any]) -> None:
        """Count a window."""
        self.stream_us += _new_span_us(window, self.latest_window)
        self.latest_window = window
        self.windows += 1
        self.events += window["events"]
        self.snn_mj += window["energy_mj"]["snn"]
        self.ann_mj += window["energy_mj"]["ann"]
        for box in window["detections"]:
            self.box_counts[box["label"]] += 1
            if (track := box.get("track_id")) is not None:
                self.track_ids.add(track)

    @property
    def zones(self) -> Sequence[Mapping[str, Any]]:
        """Counts of each zone at the latest window."""
        return (self.latest_window or {}).get("zones") or ()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning, by the wall clock."""
        return time.monotonic() - self._start_s

    @property
    def events_per_s(self) -> float:
        """Events run for each second of the wall clock."""
        return self.events / max(self.elapsed_s, 1e-9)

    @property
    def times_real_time(self) -> float:
        """Seconds of the recording run in a second of the wall clock."""
        return self.stream_us / 1e6 / max(self.elapsed_s, 1e-9)

    @property
    def power_mw(self) -> tuple[float, float]:
        """Mean over the recording's own time: spiking, and as an ANN."""
        stream_s = max(self.stream_us / 1e6, 1e-9)
        return self.snn_mj / stream_s, self.ann_mj / stream_s

    @property
    def latest_box_counts(self) -> Counter[str]:
        """By label, in the latest window."""
        return (
            Counter(box["label"] for box in self.latest_window["detections"])
            if self.latest_window
            else Counter()
        )


def _new_span_us(window: Mapping[str, Any], previous: Mapping[str, Any] | None) -> int:
    """Time that this window covers and the last did not: windows overlap where the hop is shorter than T."""
    span_us: int = window["t_end_us"] - window["t_start_us"]
    if previous is None or window["t_end_us"] <= previous["t_end_us"]:
        return span_us
    new_us: int = window["t_end_us"] - previous["t_end_us"]
    return min(span_us, new_us)
