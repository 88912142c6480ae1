"""How many points of AP50 noise costs, and how many the filters give back.

    python -m benchmarks.filters RECORDING [--weights W] [--noise-hz 1] [--seeds 3] [--out FILE.md]

The recording has no labels. Stand-ins for them are the blobs of events of each clean slice: pixels with at
least four events around them, joined over gaps of 9 px, at least 30 px long. They are no people or cars, so
only differences between rows count. Noise: each pixel fires at random times, ON or OFF. Boxes are those of
single slices of 50 ms, with membranes carried; the first four slices are left out. With noise, the table has
the mean over several seeds, and their range. Needs the extras `sim` and `eval`.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.slicing.slicer import TimeSlicer
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.evaluation.coco_eval import CocoEvaluator
from spikewatch.service.pipeline.detector import EventDetector, load

SLICE_US = 50_000
WARM_UP_SLICES = 4
MIN_NEAR, MIN_PIXELS, MIN_SIDE_PX, MIN_DIAGONAL_PX, GAP_PX = 4, 40, 10, 30, 9

FILTERS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "background 5 ms": {"background_us": 5_000},
    "background 10 ms": {"background_us": 10_000},
    "background 5 ms, refractory 1 ms, hot pixels over 50 Hz": {
        "background_us": 5_000,
        "refractory_us": 1_000,
        "hot_hz": 50,
    },
}


def read_events(path: Path) -> tuple[Events, tuple[int, int]]:
    """Return all events of a recording, and its sensor size."""
    with open_recording(path) as recording:
        return np.concatenate([chunk.copy() for chunk in recording.chunks()]), recording.sensor_size()


def add_noise(events: Events, size: tuple[int, int], hz: float, seed: int) -> Events:
    """Return the events with those of pixels that fire `hz` times a second, in the order of time."""
    rng = np.random.default_rng(seed)
    first_us, last_us = int(events["t"].min()), int(events["t"].max())
    noise = np.zeros(rng.poisson(hz * size[0] * size[1] * (last_us - first_us) / 1e6), EVENT_DTYPE)
    noise["t"] = rng.integers(first_us, last_us, len(noise))
    noise["x"], noise["y"] = rng.integers(0, size[0], len(noise)), rng.integers(0, size[1], len(noise))
    noise["p"] = rng.integers(0, 2, len(noise))
    both = np.concatenate([events, noise])
    return both[np.argsort(both["t"], kind="stable")]


def find_blobs(frame: NDArray[Any]) -> NDArray[np.float64]:
    """Return boxes xywh [N,4] around the blobs of events of a frame [2,H,W]."""
    hit = (frame.sum(0) > 0).astype(np.uint8)
    near = cv2.filter2D(hit, -1, np.ones((5, 5), np.uint8))
    hit *= near >= MIN_NEAR
    joined = cv2.dilate(hit, np.ones((GAP_PX, GAP_PX), np.uint8))
    count, labels = cv2.connectedComponents(joined)
    boxes = []
    for blob in range(1, count):
        y, x = np.nonzero((labels == blob) & (hit > 0))
        if len(x) < MIN_PIXELS:
            continue
        width, height = np.ptp(x) + 1, np.ptp(y) + 1
        if min(width, height) >= MIN_SIDE_PX and np.hypot(width, height) >= MIN_DIAGONAL_PX:
            boxes.append((x.min(), y.min(), width, height))
    return np.array(boxes, np.float64).reshape(-1, 4)


def ground_truth(events: Events, size: tuple[int, int]) -> dict[int, GroundTruth]:
    """Return the blobs of each slice of the clean events, by the time at its end."""
    slicer = TimeSlicer(SLICE_US, *size)
    slices = [*slicer.push(events), slicer.flush()]
    truth = {}
    for slice_ in slices[WARM_UP_SLICES:]:
        assert slice_ is not None
        boxes = find_blobs(slice_.frame)
        n = len(boxes)
        areas = boxes[:, 2] * boxes[:, 3]
        truth[slice_.t1_us] = GroundTruth(boxes, np.zeros(n, np.int64), areas, np.zeros(n, bool))
    return truth


def measure(
    detector: EventDetector,
    events: Events,
    size: tuple[int, int],
    filters: Mapping[str, Any] | None,
    truth: dict[int, GroundTruth],
) -> tuple[float, int, int]:
    """Return AP50 of class 0 in percent, and the events that reached the network and that were removed."""
    evaluator = CocoEvaluator(detector.class_names)
    run = detector.detect(
        events,
        width=size[0],
        height=size[1],
        slice_us=SLICE_US,
        slices=1,
        hop=1,
        confidence=0.001,
        filters=None if filters is None else dict(filters),
    )
    for result in run:
        if result.t_us in truth:
            evaluator.add(truth[result.t_us], result.detections)
    summary = run.summary()
    ap50 = evaluator.score().classes[0].metrics.ap50
    return 100 * (ap50 or 0), summary.events, sum(summary.filtered_events.values())


def share(found: tuple[float, int, int]) -> float:
    """Return the share of the events that were removed."""
    _, kept, removed = found
    return removed / (kept + removed)


def make_table(detector: EventDetector, path: Path, noise_hz: float, seeds: int) -> list[str]:
    """Return a Markdown table: a row for each choice of filters, without and with noise."""
    events, size = read_events(path)
    noisy = [add_noise(events, size, noise_hz, seed) for seed in range(seeds)]
    truth = ground_truth(events, size)
    boxes = sum(map(len, truth.values()))
    lines = [
        f"`{path.name}`, {detector.spec.name}: {len(truth)} slices with {boxes} blobs; "
        f"{len(events):,} events; with noise of {noise_hz:g} Hz a pixel {len(noisy[0]):,}; {seeds} seeds.",
        "",
        "| filters | AP50, clean | removed | AP50, with noise | removed |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, filters in FILTERS.items():
        clean = measure(detector, events, size, filters, truth)
        found = [measure(detector, stream, size, filters, truth) for stream in noisy]
        cells = [f"{clean[0]:.1f} | {share(clean):.1%}"]
        scores = [ap50 for ap50, _, _ in found]
        spread = f"({min(scores):.1f} to {max(scores):.1f})"
        cells.append(f"{np.mean(scores):.1f} {spread} | {share(found[0]):.1%}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--noise-hz", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = (
        "\n".join(make_table(load(options.weights), options.recording, options.noise_hz, options.seeds))
        + "\n"
    )
    print(text)
    if options.out is not None:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
