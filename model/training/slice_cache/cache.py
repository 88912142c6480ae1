"""Slice cache: preprocessed recordings on disk, of bounded size, reused by later runs."""

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
    """Options of the slice cache.

    Attributes:
        folder: folder of the files; several runs may share it.
        cache_bytes: maximum size of all files, plus one temporary file for each process. Files that this run
            does not need are evicted, least recently used first.
        overflow: policy for recordings that do not fit: `refuse` raises DatasetError; `leave_out` trains
            without them and lists them in `PreparedCache.left_out`.
        processes: number of parallel processes.
    """

    folder: Path
    cache_bytes: int = 64 << 30
    overflow: OverflowPolicy = "refuse"
    processes: int = 1


@dataclass(frozen=True, slots=True)
class CachedRecording:
    """Recording of N slices in the cache.

    Attributes:
        source: the original recording.
        path: path of the cache file.
        labels_us: times of the labels that are boundaries.
        grid: grid of the slices.
        labels: boxes of the slices `grid.labelled`, in input pixels.
    """

    source: LabelledRecording
    path: Path
    labels_us: tuple[int, ...]
    grid: SliceGrid
    labels: LabelBoxes


@dataclass(frozen=True, slots=True)
class PreparedCache:
    """Recordings after preprocessing.

    Attributes:
        recordings: recordings in the cache.
        unlabelled: recordings without labels, which are not used.
        left_out: recordings that do not fit the cache, which are not used.
    """

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
    """Preprocess the recordings that are missing in the cache, and return all cached recordings.

    Args:
        sources: recordings of a split.
        spec: specification of slices and input.
        min_gap_us: see `label_times`.
        options: options of the cache.
        progress: called with the share that is done.

    Raises:
        DatasetError: labels are damaged, or the recordings do not fit and the policy is `refuse`.
        IngestError: a recording is damaged.
        OSError: files cannot be read or written.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    requests, unlabelled = [], []
    for source in sources:
        labels = source.training_labels(len(spec.class_names))
        labels_us = label_times(labels.times_us, min_gap_us)
        path = options.folder / cache_file_name(source, labels_us, spec)
        if labels_us:
            requests.append(_CacheRequest(source, labels.boxes, labels_us, path))
        else:
            unlabelled.append(source)
    _write_missing(requests, spec, options, progress)
    recordings: list[CachedRecording] = []
    left_out: list[LabelledRecording] = []
    for request in requests:
        header = read_cache_header(request.path, spec)
        if header is None:
            left_out.append(request.source)
        else:
            recordings.append(_describe_cached(request, header, spec))
    return PreparedCache(tuple(recordings), tuple(unlabelled), tuple(left_out))


def rebuild(recording: CachedRecording, spec: ModelSpec) -> None:
    """Preprocess a recording again after its cache file was found damaged.

    Raises:
        DatasetError: the recording has changed since it was cached.
        OSError, IngestError: as for `build_cache`.
    """
    if cache_file_name(recording.source, list(recording.labels_us), spec) != recording.path.name:
        raise DatasetError(f"{recording.source.events}: changed during training; start the training again")
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
    present = {request.path for request in requests if read_cache_header(request.path, spec) is not None}
    missing = [request for request in requests if request.path not in present]
    for path in present:
        path.touch()
    protected = frozenset(request.path for request in requests)
    eviction = CacheEviction(options.folder, options.cache_bytes, protected)
    jobs = [CacheJob(request.path, request.source, request.labels_us, spec) for request in missing]
    written = write_cache_files(jobs, options.processes)
    with closing(written):
        for index, (job, temporary) in enumerate(written):
            if not eviction.make_room(temporary.stat().st_size):
                temporary.unlink()
                if options.overflow == "refuse":
                    raise DatasetError(_cache_too_small(options, index + len(present), len(requests)))
                return
            temporary.replace(job.path)
            progress((index + 1) / len(jobs))


def _cache_too_small(options: CacheOptions, held: int, total: int) -> str:
    return (
        f"{options.folder}: {options.cache_bytes} bytes hold {held} of {total} preprocessed recordings; "
        "increase cache_bytes, train on a smaller input, or set overflow to leave_out"
    )
