"""Renders the demo street and writes it as a Gen1-style recording with labels.

Run from the repository root: `python -m scripts.make_demo_recording`. The same seed gives the same bytes.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.events import Events
from scripts.demo.camera import HEIGHT, WIDTH
from scripts.demo.raster import SHADOW, Canvas, draw
from scripts.demo.sensor import EventSensor, SensorSettings
from scripts.demo.street import Actor, camera_pose, cast, scenery, traffic
from scripts.demo.textures import texture_stack

ASSETS = Path(__file__).parents[1] / "service" / "assets"

FRAME_HZ = 500
LABEL_HZ = 4
SEED = 20
DURATION_S = 3.02

SMALLEST_SIDE_PX = 8.0
"""Actors of which less is to be seen get no label; evaluation filters harder."""

BBOX_DTYPE = np.dtype(
    {
        "names": ["t", "x", "y", "w", "h", "class_id", "track_id", "class_confidence"],
        "formats": ["<i8", "<f4", "<f4", "<f4", "<f4", "<u4", "<u4", "<f4"],
    },
    align=True,
)
"""A row of 40 bytes of Gen1's `_bbox.npy`: t in µs, boxes in pixels from the top-left corner."""


def render(duration_s: float, seed: int) -> Iterator[tuple[float, Canvas, list[Actor]]]:
    """Time in seconds, the drawn canvas (reused by the next frame) and the cast, FRAME_HZ times a second."""
    textures, background, actors = texture_stack(seed), scenery(seed), traffic()
    canvas = Canvas.blank()
    for frame in range(round(duration_s * FRAME_HZ) + 1):
        t = frame / FRAME_HZ
        pose = camera_pose(t)
        canvas.clear()
        draw(canvas, background, 0, pose, textures)
        for actor in actors:
            draw(canvas, actor.shadow(t), SHADOW, pose, textures)
        for number, mesh in cast(actors, t):
            draw(canvas, mesh, number, pose, textures)
        yield t, canvas, actors


def labels(canvas: Canvas, actors: list[Actor], t_us: int) -> list[tuple[float, ...]]:
    """BBOX_DTYPE rows of all actors of which enough is to be seen."""
    rows: list[tuple[float, ...]] = []
    for number, actor in enumerate(actors, start=1):
        extent = canvas.extent(number)
        if extent is not None and min(extent[2:]) >= SMALLEST_SIDE_PX:
            rows.append((t_us, *extent, actor.class_id, number, 1.0))
    return rows


def record(
    duration_s: float, seed: int, settings: SensorSettings | None = None
) -> tuple[Events, NDArray[np.void]]:
    """Events and BBOX_DTYPE labels of the first duration_s seconds of the street."""
    sensor = EventSensor(HEIGHT, WIDTH, seed, settings or SensorSettings())
    chunks: list[Events] = []
    rows: list[tuple[float, ...]] = []
    for frame, (t, canvas, actors) in enumerate(render(duration_s, seed)):
        chunks.append(sensor.expose(canvas.pixels(), t))
        if frame and frame % (FRAME_HZ // LABEL_HZ) == 0:
            rows += labels(canvas, actors, round(t * 1e6))
    boxes = np.zeros(len(rows), BBOX_DTYPE)  # zeros, because the padding is written to the file too
    for index, name in enumerate(BBOX_DTYPE.names or ()):
        boxes[name] = [row[index] for row in rows]
    return np.concatenate(chunks), boxes


def dat_bytes(events: Events) -> bytes:
    """A DAT version 2 file: text header, event type 0x00, event size 8, then u32 time and u32 address."""
    header = f"% Data file containing simulated events\n% Version 2\n% Height {HEIGHT}\n% Width {WIDTH}\n"
    records = np.empty(len(events), [("t", "<u4"), ("address", "<u4")])
    x, y, p = (events[name].astype(np.uint32) for name in ("x", "y", "p"))
    records["t"] = events["t"]
    records["address"] = x | y << np.uint32(14) | p << np.uint32(28)
    return header.encode() + bytes([0x00, 8]) + records.tobytes()


def write(folder: Path, duration_s: float, seed: int) -> tuple[Events, NDArray[np.void]]:
    """Writes street_td.dat and street_bbox.npy; returns what they hold."""
    events, boxes = record(duration_s, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "street_td.dat").write_bytes(dat_bytes(events))
    np.save(folder / "street_bbox.npy", boxes)
    return events, boxes


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder for the two files")
    parser.add_argument("--duration", type=float, default=DURATION_S, help="seconds")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    events, boxes = write(options.out, options.duration, options.seed)
    on_share = events["p"].mean()
    print(f"{len(events)} events, {on_share:.3f} ON, {len(boxes)} labels -> {options.out}")


if __name__ == "__main__":
    main()
