"""Print statistics of recordings, real, simulated and made from video: `python -m scripts.event_statistics`.

Run from the repository root: `python -m scripts.event_statistics RECORDING_OR_FOLDER...`. Labels are taken
from `*_bbox.npy` beside. A folder gives one row, the mean over its recordings and their range.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from spikewatch.ingest.events import Events
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.simulation.dataset.layout import EVENTS_SUFFIX, LABELS_SUFFIX
from spikewatch.ingest.simulation.film import CAR, PEDESTRIAN
from spikewatch.ingest.simulation.statistics import EventStatistics, compute_statistics

Value = float | None

COLUMNS: dict[str, tuple[str, Callable[[EventStatistics], Value]]] = {
    "seconds": ("{:.2f}", lambda s: s.seconds),
    "events per px and s": ("{:.2f}", lambda s: s.rate_hz),
    "active px per 50 ms": ("{:.1%}", lambda s: s.active_share),
    "ON": ("{:.2f}", lambda s: s.on_share),
    "interval ms": ("{:.1f}", lambda s: s.interval_ms),
    "run px": ("{:.1f}", lambda s: s.texture.run_px),
    "isolated px": ("{:.0%}", lambda s: s.texture.isolated_share),
    "empty 16-px tiles": ("{:.0%}", lambda s: s.texture.empty_tile_share),
    "slice to slice correlation": ("{:.2f}", lambda s: s.texture.persistence),
    "car boxes: events per px and s": ("{:.1f}", lambda s: _class_rate(s, CAR)),
    "pedestrian boxes": ("{:.1f}", lambda s: _class_rate(s, PEDESTRIAN)),
    "silent boxes": ("{:.0%}", lambda s: _silent_share(s)),
    "events in boxes": ("{:.0%}", lambda s: s.in_boxes_share),
    "area in boxes": ("{:.0%}", lambda s: s.box_area_share),
}


def _class_rate(found: EventStatistics, class_id: int) -> Value:
    return found.classes[class_id].rate_hz if class_id in found.classes else None


def _silent_share(found: EventStatistics) -> Value:
    boxes = sum(each.boxes for each in found.classes.values())
    return sum(each.boxes * each.silent_share for each in found.classes.values()) / boxes if boxes else None


def recording_statistics(path: Path, seconds: float) -> EventStatistics:
    """The first `seconds` of a recording; where the file names no sensor size, its events' extent counts."""
    chunks: list[Events] = []
    with open_recording(path) as recording:
        for chunk in recording.chunks():
            chunks.append(chunk)
            if chunk["t"][-1] - chunks[0]["t"][0] > seconds * 1e6:
                break
        size = recording.width, recording.height
    events = np.concatenate(chunks)
    events = events[events["t"] - events["t"][0] <= seconds * 1e6]
    width, height = (side or int(events[name].max()) + 1 for side, name in zip(size, "xy", strict=True))
    labels = path.with_name(path.name.removesuffix(EVENTS_SUFFIX) + LABELS_SUFFIX)
    boxes = np.load(labels) if labels.is_file() else None
    return compute_statistics(
        events, width, height, None if boxes is None else boxes[boxes["t"] <= events["t"][-1]]
    )


def statistics_rows(paths: list[Path], seconds: float) -> Iterator[tuple[str, list[EventStatistics]]]:
    """A name and what it stands for: one recording, or all of a folder."""
    for path in paths:
        files = sorted(path.rglob("*" + EVENTS_SUFFIX)) if path.is_dir() else [path]
        yield path.name, [recording_statistics(file, seconds) for file in files]


def format_cell(found: list[EventStatistics], form: str, take: Callable[[EventStatistics], Value]) -> str:
    """The mean, and the range where there are several; empty where nothing has the figure."""
    values = [value for each in found if (value := take(each)) is not None]
    if not values:
        return ""
    mean = form.format(sum(values) / len(values))
    return mean if len(values) == 1 else f"{mean} ({form.format(min(values))} to {form.format(max(values))})"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=Path, nargs="+", help="files, or folders of *_td.dat")
    parser.add_argument("--seconds", type=float, default=60.0, help="look at the beginning only")
    options = parser.parse_args()
    print("| recording |", " | ".join(COLUMNS), "|")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, found in statistics_rows(options.recordings, options.seconds):
        print(f"| {name} |", " | ".join(format_cell(found, *column) for column in COLUMNS.values()), "|")


if __name__ == "__main__":
    main()
