"""Recordings of filled boxes that move from label to label, with events wherever a label says there is one.

Each pixel of a box fires once in each half slice: OFF for class 0, ON for class 1. So a box can be read off
the channel of its class.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.prophesee import PropheseeRecording

WIDTH, HEIGHT = 96, 64
SLICE_US = 10_000
COUNTS = 2
"""Events of a pixel within a box in one slice."""


def small_spec(**changes: object) -> ModelSpec:
    """Two classes; the input is as large as the sensor."""
    config = SpikeYOLOConfig(in_channels=2, classes=2)
    fields = {"slice_us": SLICE_US, "slices": 2, "input_height": HEIGHT, "input_width": WIDTH} | changes
    return ModelSpec("small", config, **fields)  # type: ignore[arg-type]


def write_recording(folder: Path, name: str, events: Events, labels: PropheseeBoxes) -> PropheseeRecording:
    """Write a DAT recording and its `*_bbox.npy`, in Prophesee's format."""
    header = f"% Data file containing CD events\n% Version 2\n% Width {WIDTH}\n% Height {HEIGHT}\n"
    words = np.zeros((len(events), 2), "<u4")
    words[:, 0] = events["t"]
    words[:, 1] = events["x"] | events["y"].astype(np.uint32) << 14 | events["p"].astype(np.uint32) << 28
    source = PropheseeRecording(folder / f"{name}_td.dat", folder / f"{name}_bbox.npy")
    source.events.write_bytes(header.encode() + bytes([0, 8]) + words.tobytes())
    np.save(source.labels, labels)
    return source


def moving_boxes(
    folder: Path, name: str, labels: int = 12, seed: int = 0, every: int = 2
) -> PropheseeRecording:
    """A box of each class that jumps at each label; there is one after every `every` slices."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(2 * labels, BBOX_DTYPE)
    rows["t"] = np.repeat(np.arange(1, labels + 1) * every * SLICE_US, 2)
    rows["class_id"] = np.tile([0, 1], labels)
    rows["w"], rows["h"] = rng.integers(14, 30, 2 * labels), rng.integers(12, 24, 2 * labels)
    rows["x"] = [rng.integers(0, WIDTH - w + 1) for w in rows["w"]]
    rows["y"] = [rng.integers(0, HEIGHT - h + 1) for h in rows["h"]]
    events = np.concatenate([_filled(row, every) for row in rows])
    return write_recording(folder, name, events[np.argsort(events["t"], kind="stable")], rows)


def _filled(row: np.void, every: int) -> Events:
    y, x = np.mgrid[: int(row["h"]), : int(row["w"])].reshape(2, -1)
    parts = []
    for half in range(2 * every):
        events = np.zeros(len(x), EVENT_DTYPE)
        events["t"] = int(row["t"]) - (2 * half + 1) * SLICE_US // 4
        events["x"], events["y"], events["p"] = x + int(row["x"]), y + int(row["y"]), row["class_id"]
        parts.append(events)
    return np.concatenate(parts)


def mask_of(boxes: NDArray[np.float32], grow_px: float) -> NDArray[np.bool_]:
    """Return the mask of pixels whose centre is in one of the boxes [M,4], after growing the boxes."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = np.zeros((HEIGHT, WIDTH), bool)
    for x0, y0, x1, y1 in boxes:
        inside |= (x > x0 - grow_px) & (x < x1 + grow_px) & (y > y0 - grow_px) & (y < y1 + grow_px)
    return inside


def agree(mask: NDArray[np.bool_], boxes: NDArray[np.float32], within_px: float) -> bool:
    """Return whether the mask covers the boxes and nothing else, except for a border of this width."""
    return bool((mask_of(boxes, -within_px) <= mask).all() and (mask <= mask_of(boxes, within_px)).all())
