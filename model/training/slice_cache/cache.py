"""Cut recordings on disk: made once, in parallel, within a bound, and used again."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spikewatch.model.errors import DatasetError
from spikewatch.model.letterbox import Letterbox
from spikewatch.model.prophesee_boxes import PropheseeBoxes
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.input_boxes import LabelBoxes, labels_to_input_boxes
from spikewatch.model.training.datasets.labelled_recording import LabelledRecording
from spikewatch.model.training.slice_cache.build import CacheJob, write_cache_files
from spikewatch.model.training.slice_cache.cache_file import (
    CacheEviction,
    CacheHeader,
    cache_file_name,
    read_cache_header,
)
from spikewatch.model.training.slice_cache.preprocess import SliceGrid, label_times

OverflowPolicy = Literal["refuse", "leave_out"]
ProgressCallback = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Where cut recordings are kept.

    Attributes:
        folder: of the files; it may be shared by several trainings.
        cache_bytes: all files there together, and for a moment one more of each process. Files that are not
            asked for now make room, the longest unused first.
        overflow: what becomes of recordings that do not fit: `refuse` raises, `leave_out` trains without
            them, and `Prepared.left_out` names them.
        processes: that cut at the same time.
    """

    folder: Path
    cache_bytes: int = 64 << 30
    overflow: OverflowPolicy = "refuse"
    processes: int = 1


@dataclass(frozen=True, slots=True)
class CachedRecording:
    """A recording of N slices in the cache.

    Attributes:
        source: what it was made from.
        path: of the file.
        labels_us: the labels that are boundaries.
        grid: where it was cut.
        labels: of the slices `grid.labelled`, in input pixels.
    """

    source: LabelledRecording
    path: Path
    labels_us: tuple[int, ...]
    grid: SliceGrid
    labels: LabelBoxes


@dataclass(frozen=True, slots=True)
class PreparedCache:
    """What can be trained with, and what cannot: recordings without a label, and without room."""

    recordings: tuple[CachedRecording, ...]
    unlabelled: tuple[LabelledRecording, ...]
    left_out: tuple[LabelledRecording, ...]


@dataclass(frozen=True, slots=True)
class _CacheRequest:
    source: LabelledRecording
    labels: PropheseeBoxes
    labels_us: list[int]
    path: Path


def build_cache(
    sources: Sequence[LabelledRecording],
    spec: ModelSpec,
    min_gap_us: int,
    options: CacheOptions,
    progress: ProgressCallback,
) -> PreparedCache:
    """Bring recordings into the cache, those that are not there.

    Args:
        sources: of a split.
        spec: how they are cut.
        min_gap_us: see `label_times`.
        options: of the cache.
        progress: called with the share done.

    Raises:
        DatasetError: labels are damaged, or `refuse` and too little room.
        IngestError: a recording is damaged.
        OSError: files cannot be read or written.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    wanted, unlabelled = [], []
    for source in sources:
        taught = source.training_labels(len(spec.class_names))
        labels_us = label_times(taught.times_us, min_gap_us)
        path = options.folder / cache_file_name(source, labels_us, spec)
        if labels_us:
            wanted.append(_CacheRequest(source, taught.boxes, labels_us, path))
        else:
            unlabelled.append(source)
    _write_missing(wanted, spec, options, progress)
    found: list[CachedRecording] = []
    left_out: list[LabelledRecording] = []
    for each in wanted:
        header = read_cache_header(each.path, spec)
        if header is None:
            left_out.append(each.source)
        else:
            found.append(_describe_cached(each, header, spec))
    return PreparedCache(tuple(found), tuple(unlabelled), tuple(left_out))


def rebuild(recording: CachedRecording, spec: ModelSpec) -> None:
    """Cut a recording again whose file turned out to be damaged.

    Raises:
        DatasetError: the recording is not the one that was cut before.
        OSError, IngestError: as for `prepare`.
    """
    if cache_file_name(recording.source, list(recording.labels_us), spec) != recording.path.name:
        raise DatasetError(f"{recording.source.events}: changed during training; start again")
    job = CacheJob(recording.path, recording.source, list(recording.labels_us), spec)
    for _, temporary in write_cache_files([job]):
        temporary.replace(recording.path)


def _describe_cached(request: _CacheRequest, header: CacheHeader, spec: ModelSpec) -> CachedRecording:
    grid = header.grid
    size = (header.width, header.height)
    times_us = grid.edges_us[grid.labelled + 1]
    boxes = labels_to_input_boxes(request.labels, times_us, Letterbox.fit(*size, spec), *size)
    return CachedRecording(request.source, request.path, tuple(request.labels_us), grid, boxes)


def _write_missing(
    requests: Sequence[_CacheRequest], spec: ModelSpec, options: CacheOptions, progress: ProgressCallback
) -> None:
    present = {each.path for each in requests if read_cache_header(each.path, spec) is not None}
    missing = [each for each in requests if each.path not in present]
    for path in present:
        path.touch()
    room = CacheEviction(options.folder, options.cache_bytes, frozenset(each.path for each in requests))
    jobs = [CacheJob(each.path, each.source, each.labels_us, spec) for each in missing]
    written = write_cache_files(jobs, options.processes)
    with closing(written):
        for index, (job, temporary) in enumerate(written):
            if not room.make_room(temporary.stat().st_size):
                temporary.unlink()
                if options.overflow == "refuse":
                    raise DatasetError(_cache_too_small(options, index + len(present), len(requests)))
                return
            temporary.replace(job.path)
            progress((index + 1) / len(jobs))


def _cache_too_small(options: CacheOptions, held: int, total: int) -> str:
    return (
        f"{options.folder}: {options.cache_bytes} bytes hold {held} of {total} cut recordings; allow more "
        "(cache_bytes), train on a smaller input, or let the rest be left out (overflow)"
    )
