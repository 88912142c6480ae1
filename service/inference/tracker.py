"""Which box of this window is which of the last: a small tracker after SORT (Bewley et al. 2016).

Boxes move with constant velocity (an alpha-beta filter, Kalata 1984) and are matched greedily by DIoU (Zheng
et al. 2020). Time is that of the stream in microseconds, not a count of frames, so that any hop, a slice
dropped and a jump in time are what they are. State goes in and comes out, so that it fits into a snapshot.

Of the libraries, `trackers` and `norfair` count frames and bring OpenCV or an old NumPy, `motpy` is unkept
since 2021, and `boxmot` is AGPL; scipy's assignment would be 35 MB for the few boxes of a window.

K tracks, N boxes.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from spikewatch.model.detections import Detections
from spikewatch.service.inference.saved_types import Count, Pair, TimeUs

ALPHA, BETA = 0.75, 0.35
"""Share of a box's surprise that moves its track, and that turns its velocity."""

MAX_AGE_US = 1_000_000
"""A track unseen for longer is forgotten, but never before it was missing from two results."""

GATE, GATE_PER_S, MAX_GATE = 0.1, 0.8, 0.4
"""How far below zero the DIoU of a match may be: at once, more for each second since, at most.

Equal squares side by side, k widths from centre to centre, have -k^2 / ((1 + k)^2 + 1): -0.2 at k = 1.
"""

MAX_TRACKS = 100_000
"""Tracks of one snapshot."""

TrackId = Annotated[int, Field(ge=1, le=2**32 - 1)]


@dataclass(frozen=True, slots=True)
class Track:
    """One object, as it was last seen.

    Attributes:
        id: counts from 1, never given twice in a stream.
        class_id: of the detector; a track does not change it.
        centre_px, size_px: x and y; width and height.
        velocity_px_s: x and y; None until it was seen twice.
        t_us: when it was last seen.
        missed: results since then.
    """

    id: TrackId
    class_id: Count
    centre_px: Pair
    size_px: Pair
    velocity_px_s: Pair | None
    t_us: TimeUs
    missed: Count = 0


@dataclass(frozen=True, slots=True)
class Tracks:
    """All that is followed, and the next number to give."""

    next_id: TrackId = 1
    known: Annotated[tuple[Track, ...], Field(max_length=MAX_TRACKS)] = ()

    def reset(self) -> "Tracks":
        """None is known any more, as after a jump in time; numbers go on."""
        return Tracks(self.next_id)


def update_tracks(tracks: Tracks, detections: Detections) -> tuple[Tracks, tuple[int, ...]]:
    """The tracks after one more result, and the id of each of its N boxes."""
    pairs = _match_boxes(tracks.known, detections)
    centres, sizes = _centres(detections.xywh), detections.xywh[:, 2:].astype(np.float64)
    next_id, seen, ids = tracks.next_id, [], []
    for n in range(len(detections)):
        centre, size = _to_pair(centres[n]), _to_pair(sizes[n])
        if n in pairs:
            track = _correct_track(tracks.known[pairs[n]], centre, size, detections.t_us)
        else:
            track = Track(next_id, int(detections.class_id[n]), centre, size, None, detections.t_us)
            next_id += 1
        seen.append(track)
        ids.append(track.id)
    matched = set(pairs.values())
    missing = [replace(t, missed=t.missed + 1) for k, t in enumerate(tracks.known) if k not in matched]
    kept = [t for t in missing if detections.t_us - t.t_us <= MAX_AGE_US or t.missed < 2]
    return Tracks(next_id, (*seen, *kept)), tuple(ids)


def _match_boxes(known: tuple[Track, ...], found: Detections) -> dict[int, int]:
    """Box -> track, the best pairs first."""
    if not known or not len(found):
        return {}
    affinity = diou(np.array([_predict_box(t, found.t_us) for t in known]), found.xywh.astype(np.float64))
    elapsed_s = np.array([max(0, found.t_us - t.t_us) for t in known]) / 1e6
    gate = -np.minimum(GATE + GATE_PER_S * elapsed_s, MAX_GATE)
    same_class = np.array([t.class_id for t in known])[:, None] == found.class_id[None]
    rows, columns = np.nonzero(same_class & (affinity > gate[:, None]))
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for i in np.argsort(-affinity[rows, columns], kind="stable"):
        k, n = int(rows[i]), int(columns[i])
        if k not in taken and n not in pairs:
            taken.add(k)
            pairs[n] = k
    return pairs


def diou(a_xywh: NDArray[np.float64], b_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance-IoU [K,N] of boxes [K,4] and [N,4]: IoU - d^2 / c^2, over -1 and up to 1.

    d: from centre to centre; c: diagonal of the smallest box around both.
    """
    a, b = a_xywh[:, None], b_xywh[None]
    a_end, b_end = a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]
    shared = np.clip(np.minimum(a_end, b_end) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    around = np.maximum(a_end, b_end) - np.minimum(a[..., :2], b[..., :2])
    apart = (a[..., :2] + a_end - b[..., :2] - b_end) / 2
    tiny = np.finfo(np.float64).tiny
    overlap: NDArray[np.float64] = shared / np.maximum(union, tiny)
    distance: NDArray[np.float64] = (apart**2).sum(-1) / np.maximum((around**2).sum(-1), tiny)
    return overlap - distance


def _predict_box(track: Track, t_us: int) -> tuple[float, float, float, float]:
    """x, y, w, h where the track should be at t_us."""
    (x, y), (w, h), (vx, vy) = track.centre_px, track.size_px, track.velocity_px_s or (0.0, 0.0)
    elapsed_s = (t_us - track.t_us) / 1e6
    return x + vx * elapsed_s - w / 2, y + vy * elapsed_s - h / 2, w, h


def _correct_track(track: Track, centre: tuple[float, float], size: tuple[float, float], t_us: int) -> Track:
    """The track after it was seen once more."""
    elapsed_s = max(1, t_us - track.t_us) / 1e6
    was, at = np.array(track.centre_px), np.array(centre)
    if track.velocity_px_s is None:
        position, velocity = at, (at - was) / elapsed_s
    else:
        expected = was + np.array(track.velocity_px_s) * elapsed_s
        position = expected + ALPHA * (at - expected)
        velocity = np.array(track.velocity_px_s) + BETA * (at - expected) / elapsed_s
    grown = (1 - ALPHA) * np.array(track.size_px) + ALPHA * np.array(size)
    return Track(track.id, track.class_id, _to_pair(position), _to_pair(grown), _to_pair(velocity), t_us)


def _centres(xywh: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = xywh.astype(np.float64)
    return wide[:, :2] + wide[:, 2:] / 2


def _to_pair(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
