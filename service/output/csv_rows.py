"""Boxes as rows of CSV, for files and sinks. Needs no torch."""

from spikewatch.service.schemas import Window

CSV_COLUMNS = (
    *("seq", "t_start_us", "t_end_us", "x", "y", "w", "h", "class_id", "label", "confidence", "track_id"),
)


def csv_rows(window: Window) -> list[list[object]]:
    """Return one row of CSV_COLUMNS for each box; without a track, the last is empty."""
    times = [window.seq, window.t_start_us, window.t_end_us]
    return [
        [*times, box.x, box.y, box.w, box.h, box.class_id, box.label, box.confidence, box.track_id]
        for box in window.detections
    ]
