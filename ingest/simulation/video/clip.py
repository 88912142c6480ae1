"""Video clip with boxes in COCO's format in a JSON file beside it: `NAME.mp4` and `NAME.json`.

The images of the JSON file are the frames of the video in order, with `t_us`. N: boxes of a frame.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.film import CAR, PEDESTRIAN

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov")

UNKNOWN_CLASS = -1
"""Class of boxes that are neither car nor pedestrian, such as buses and riders; always ignore regions."""

CLASS_IDS = {"car": CAR, "pedestrian": PEDESTRIAN, "person": PEDESTRIAN}
"""Category name -> class id of Gen1."""

NO_TRACK = -1
"""Track of boxes that stand for themselves."""


@dataclass(frozen=True, slots=True)
class FrameBoxes:
    """Boxes of one frame.

    Attributes:
        xyxy: float64 [N,4], corners in pixels of the video.
        class_id: int64 [N], Gen1's, or UNKNOWN_CLASS.
        ignore: bool [N], `iscrowd`, or uncertain.
        track_id: int64 [N], or NO_TRACK.
    """

    xyxy: NDArray[np.float64]
    class_id: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    track_id: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.class_id)

    def at_share(self, following: "FrameBoxes", share: float) -> "FrameBoxes":
        """Interpolate to a time between this frame and the following one, at `share` of their distance.

        Tracks in both frames move linearly. A track in one of the frames only is uncertain.
        """
        if share <= 0:
            return self
        later = {int(track): row for row, track in enumerate(following.track_id) if track != NO_TRACK}
        xyxy, ignore = self.xyxy.copy(), self.ignore.copy()
        for row, track in enumerate(self.track_id.tolist()):
            match = later.pop(track, None) if track != NO_TRACK else None
            if match is not None:
                xyxy[row] += share * (following.xyxy[match] - xyxy[row])
                ignore[row] |= following.ignore[match]
            elif track != NO_TRACK:
                ignore[row] = True
        new = sorted(later.values())
        return FrameBoxes(
            np.concatenate([xyxy, following.xyxy[new]]),
            np.concatenate([self.class_id, following.class_id[new]]),
            np.concatenate([ignore, np.ones(len(new), bool)]),
            np.concatenate([self.track_id, following.track_id[new]]),
        )


@dataclass(frozen=True, slots=True)
class Clip:
    """Clip: path of the video, time between frames in seconds, and the boxes of each frame."""

    path: Path
    frame_s: float
    boxes: Sequence[FrameBoxes]

    def read_frames(self, first: int, count: int) -> list[NDArray[np.uint8]]:
        """Decode `count` frames from number `first` on, as grey levels [height,width].

        Raises:
            SimulationError: the video is damaged, or shorter.
        """
        try:
            with av.open(str(self.path)) as file:
                decoded = islice(file.decode(video=0), first, first + count)
                frames = [np.array(frame.to_ndarray(format="gray"), np.uint8) for frame in decoded]
        except (av.FFmpegError, IndexError) as error:
            raise SimulationError(f"{self.path}: not a readable video ({error})") from error
        if len(frames) < count:
            raise SimulationError(
                f"{self.path}: {first + len(frames)} frames, but {self.path.stem}.json has {len(self.boxes)}"
            )
        return frames


def find_clips(folder: Path) -> list[Path]:
    """Return the videos of a folder that have a JSON file beside them, in order of name.

    Raises:
        SimulationError: there are none.
        OSError: the folder cannot be read.
    """
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in VIDEO_SUFFIXES and path.with_suffix(".json").is_file()
    )
    if not paths:
        raise SimulationError(
            f"{folder}: no video with boxes; expected NAME.mp4 with NAME.json (COCO) beside it; a JSON file "
            "without annotations stands for a video without objects"
        )
    return paths


def read_clip(path: Path) -> Clip:
    """Read the boxes of a video, whose frames are decoded later.

    Raises:
        SimulationError: the JSON file is damaged, or has fewer than two images.
        OSError: it cannot be read.
    """
    labels = path.with_suffix(".json")
    try:
        return _parse_clip(path, json.loads(labels.read_bytes()))
    except (KeyError, TypeError, ValueError) as error:
        raise SimulationError(f"{labels}: not the COCO boxes of a video ({error!r})") from error


def _parse_clip(path: Path, data: dict[str, Any]) -> Clip:
    names = {int(row["id"]): str(row["name"]) for row in data["categories"]}
    of_image: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in data["annotations"]:
        of_image[int(row["image_id"])].append(row)
    images = sorted(data["images"], key=lambda image: int(image["t_us"]))
    if len(images) < 2:
        raise ValueError(f"{len(images)} images, expected at least 2")
    frame_s = (int(images[-1]["t_us"]) - int(images[0]["t_us"])) * 1e-6 / (len(images) - 1)
    if frame_s <= 0:
        raise ValueError(f"t_us from {images[0]['t_us']} to {images[-1]['t_us']}, expected increasing times")
    return Clip(path, frame_s, [_parse_boxes(of_image[int(image["id"])], names) for image in images])


def _parse_boxes(rows: list[dict[str, Any]], names: dict[int, str]) -> FrameBoxes:
    xywh = np.array([row["bbox"] for row in rows], np.float64).reshape(len(rows), 4)
    class_id = [CLASS_IDS.get(names[int(row["category_id"])], UNKNOWN_CLASS) for row in rows]
    known = np.array(class_id, np.int64)
    crowd = np.array([bool(row.get("iscrowd", 0)) for row in rows], bool)
    tracks = [max(int(row.get("track_id", NO_TRACK)), NO_TRACK) for row in rows]
    return FrameBoxes(
        np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]]),
        known,
        crowd | (known == UNKNOWN_CLASS),
        np.array(tracks, np.int64),
    )
