"""A video of a textured rectangle that moves over a plain ground, with its boxes in COCO's format."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS, FRAMES = 160, 120, 30, 60
SIDE = (40, 30)
STEP_PX = (1.5, 0.4)
START_PX = (12.0, 30.0)
CATEGORIES = [{"id": 1, "name": "car"}, {"id": 2, "name": "pedestrian"}, {"id": 3, "name": "other_vehicle"}]


def box_of_frame(index: int) -> list[float]:
    """x, y, w, h."""
    return [START_PX[0] + index * STEP_PX[0], START_PX[1] + index * STEP_PX[1], *map(float, SIDE)]


def draw_frame(texture: NDArray[np.float64], index: int) -> NDArray[np.uint8]:
    """A frame; parts of pixels at the borders are mixed with the ground."""
    fine = np.full((HEIGHT * 10, WIDTH * 10), 110.0)
    x, y, w, h = (round(10 * value) for value in box_of_frame(index))
    fine[y : y + h, x : x + w] = texture
    return fine.reshape(HEIGHT, 10, WIDTH, 10).mean((1, 3)).round().astype(np.uint8)


def write_video(path: Path, category: int = 2, frames: int = FRAMES, boxes: bool = True) -> Path:
    """Write PATH (lossless) and its JSON file: one moving box, and a crowd region at the top right."""
    rng = np.random.default_rng(0)
    texture = rng.choice([40.0, 200.0], (SIDE[1] // 5, SIDE[0] // 5)).repeat(50, 0).repeat(50, 1)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
        stream.time_base = Fraction(1, FPS)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(draw_frame(texture, index), format="gray")
            frame.pts = index
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    images = [{"id": k, "file_name": path.name, "t_us": round(k * 1e6 / FPS)} for k in range(frames)]
    rows = [
        row
        for k in range(frames)
        for row in (
            {"image_id": k, "category_id": category, "bbox": box_of_frame(k), "track_id": 4},
            {"image_id": k, "category_id": 1, "bbox": [130, 0, 30, 20], "iscrowd": 1, "track_id": -1},
        )
    ]
    data = {"categories": CATEGORIES, "images": images, "annotations": rows if boxes else []}
    path.with_suffix(".json").write_text(json.dumps(data))
    return path
