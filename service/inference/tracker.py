"""Matches the boxes of a window to those of earlier windows: a small tracker after SORT (Bewley et al. 2016).

Boxes move with constant velocity (an alpha-beta filter, Kalata 1984) and are matched greedily by DIoU (Zheng
et al. 2020). Times are stream times in microseconds, not frame counts, so that hops, dropped slices and jumps
in time need no special case. The state is passed in and returned, so that a snapshot can hold it.

Libraries were rejected: `trackers` and `norfair` count frames and need OpenCV or an old NumPy, `motpy` is
unmaintained since 2021, `boxmot` is AGPL, and scipy's assignment adds 35 MB for a few boxes a window.

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
"""Gains of the filter: share of the position error that corrects position, and velocity."""

MAX_AGE_US = 1_000_000
"""A track unseen for longer is dropped, but never before it was missing from two results."""

GATE, GATE_PER_S, MAX_GATE = 0.1, 0.8, 0.4
"""How far below zero the DIoU of a match may be: at first, added for each second, and at most.

Equal squares side by side, k widths from centre to centre, have -k^2 / ((1 + k)^2 + 1): -0.2 at k = 1.
"""

MAX_TRACKS = 500
"""Tracks of one session, so that K x N is bounded. Policy `drop_oldest`: the longest unseen are dropped."""

TrackId = Annotated[int, Field(ge=1, le=2**32 - 1)]


@dataclass(frozen=True, slots=True)
class Track:
    """One object as last seen.

    Attributes:
        id: from 1, unique in a stream.
        class_id: class of the detector, constant for a track.
        centre_px, size_px: x and y; width and height.
        velocity_px_s: x and y; None until the object was seen twice.
        t_us: time at which it was last seen.
        missed: number of results since then.
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
    """All current tracks, the latest seen first, and the next free id.

    Attributes:
        dropped: tracks dropped by the last update because there were more than MAX_TRACKS.
    """

    next_id: TrackId = 1
    known: Annotated[tuple[Track, ...], Field(max_length=MAX_TRACKS)] = ()
    dropped: Annotated[int, Field(exclude=True)] = 0

    def reset(self) -> "Tracks":
        """Drop all tracks, as after a jump in time. Ids continue."""
        return Tracks(self.next_id)


def update_tracks(tracks: Tracks, detections: Detections) -> tuple[Tracks, tuple[int, ...]]:
    """Return the tracks after one more result, and the track id of each of its N boxes."""
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
    current = (*seen, *kept)
    return Tracks(next_id, current[:MAX_TRACKS], max(0, len(current) - MAX_TRACKS)), tuple(ids)


def check_tracks(tracks: Tracks, position_us: int | None, classes: int) -> None:
    """Raise ValueError for tracks that a session whose last slice ended at `position_us` could not have."""
    ids = {track.id for track in tracks.known}
    if len(ids) != len(tracks.known) or max(ids, default=0) >= tracks.next_id:
        raise ValueError(f"ids of {len(tracks.known)} tracks repeat or are not below {tracks.next_id}")
    for track in tracks.known:
        if position_us is None or track.t_us > position_us or track.class_id >= classes:
            raise ValueError(
                f"track {track.id} of class {track.class_id} was seen at {track.t_us} us; expected one of "
                f"{classes} classes, and at most the end of the last slice, {position_us} us"
            )


def _match_boxes(known: tuple[Track, ...], detections: Detections) -> dict[int, int]:
    """Return box -> track, matched greedily from the best pair on."""
    if not known or not len(detections):
        return {}
    affinity = diou(
        np.array([_predict_box(t, detections.t_us) for t in known]), detections.xywh.astype(np.float64)
    )
    elapsed_s = np.array([max(0, detections.t_us - t.t_us) for t in known]) / 1e6
    gate = -np.minimum(GATE + GATE_PER_S * elapsed_s, MAX_GATE)
    same_class = np.array([t.class_id for t in known])[:, None] == detections.class_id[None]
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
    """Return the distance-IoU [K,N] of boxes [K,4] and [N,4]: IoU - d^2 / c^2, in (-1, 1].

    d: distance of the centres; c: diagonal of the smallest box around both.
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
    """Return the expected x, y, w, h of a track at `t_us`."""
    (x, y), (w, h), (vx, vy) = track.centre_px, track.size_px, track.velocity_px_s or (0.0, 0.0)
    elapsed_s = (t_us - track.t_us) / 1e6
    return x + vx * elapsed_s - w / 2, y + vy * elapsed_s - h / 2, w, h


def _correct_track(track: Track, centre: tuple[float, float], size: tuple[float, float], t_us: int) -> Track:
    """Return the track corrected by a box that it matches."""
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
