"""Small recordings in Gen1's layout that can be learned in a minute: bright boxes that move.

Wide ones are cars, tall ones pedestrians. Each pixel of a box fires now and then, more at its borders.
"""

from pathlib import Path

import numpy as np

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes

WIDTH, HEIGHT = 96, 64
SIZES = ((34, 18), (14, 30))
LABEL_EVERY_US = 50_000


def write_recording(folder: Path, name: str, seed: int, seconds: float = 2.0) -> tuple[Path, Path]:
    """`name`_td.dat and `name`_bbox.npy."""
    events, boxes = street(seed, seconds)
    header = f"% Data file containing made-up events\n% Version 2\n% Height {HEIGHT}\n% Width {WIDTH}\n"
    records = np.empty(len(events), [("t", "<u4"), ("address", "<u4")])
    x, y, p = (events[field].astype(np.uint32) for field in ("x", "y", "p"))
    records["t"] = events["t"]
    records["address"] = x | y << np.uint32(14) | p << np.uint32(28)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}_td.dat", folder / f"{name}_bbox.npy"
    paths[0].write_bytes(header.encode() + bytes([0x00, 8]) + records.tobytes())
    np.save(paths[1], boxes)
    return paths


def street(seed: int, seconds: float) -> tuple[Events, PropheseeBoxes]:
    """Events in order of time, and a label of each thing every LABEL_EVERY_US."""
    rng = np.random.default_rng(seed)
    parts, rows = [_noise(rng, seconds)], []
    for class_id, (w, h) in enumerate(SIZES):
        near, far = class_id * WIDTH / 2, (class_id + 1) * WIDTH / 2 - w  # each keeps to its half
        x0, y0 = rng.uniform(near, far), rng.uniform(0, HEIGHT - h)
        speed = rng.uniform(-12, 12)
        n = int(w * h * 12 * seconds)
        t = np.sort(rng.uniform(0, seconds, n))
        left = np.clip(x0 + speed * t, near, far)
        parts.append(
            _events(t, left + rng.integers(0, w, n), y0 + rng.integers(0, h, n), rng.integers(0, 2, n))
        )
        for t_us in range(LABEL_EVERY_US, int(seconds * 1e6) + 1, LABEL_EVERY_US):
            x = float(np.clip(x0 + speed * t_us / 1e6, near, far))
            rows.append((t_us, x, y0, w, h, class_id, class_id, 1.0))
    events = np.concatenate(parts)
    boxes = np.zeros(len(rows), BBOX_DTYPE)
    for index, field in enumerate(BBOX_DTYPE.names or ()):
        boxes[field] = [row[index] for row in rows]
    return events[np.argsort(events["t"], kind="stable")], boxes[np.argsort(boxes["t"], kind="stable")]


def _noise(rng: np.random.Generator, seconds: float) -> Events:
    n = int(600 * seconds)
    t = rng.uniform(0, seconds, n)
    return _events(t, rng.integers(0, WIDTH, n), rng.integers(0, HEIGHT, n), rng.integers(0, 2, n))


def _events(t_s: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> Events:
    events = np.zeros(len(t_s), EVENT_DTYPE)
    events["t"], events["x"], events["y"], events["p"] = t_s * 1e6, x, y, p
    return events
