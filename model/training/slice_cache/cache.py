"""Cut recordings on disk: made once, in parallel, within a bound, and used again."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spikewatch.model.errors import DatasetError
from spikewatch.model.letterbox import Letterbox
from spikewatch.model.prophesee_boxes import Boxes
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.input_boxes import LabelBoxes, boxes_at
from spikewatch.model.training.datasets.labelled_recording import Labelled
from spikewatch.model.training.slice_cache.build import WriteJob, write_all
from spikewatch.model.training.slice_cache.cache_file import CacheRoom, Header, file_name, read_header
from spikewatch.model.training.slice_cache.preprocess import Grid, label_times

Overflow = Literal["refuse", "leave_out"]
Progress = Callable[[float], None]


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
    overflow: Overflow = "refuse"
    processes: int = 1


@dataclass(frozen=True, slots=True)
class CutRecording:
    """A recording of N slices in the cache.

    Attributes:
        source: what it was made from.
        path: of the file.
        labels_us: the labels that are boundaries.
        grid: where it was cut.
        labels: of the slices `grid.labelled`, in input pixels.
    """

    source: Labelled
    path: Path
    labels_us: tuple[int, ...]
    grid: Grid
    labels: LabelBoxes


@dataclass(frozen=True, slots=True)
class Prepared:
    """What can be trained with, and what cannot: recordings without a label, and without room."""

    recordings: tuple[CutRecording, ...]
    unlabelled: tuple[Labelled, ...]
    left_out: tuple[Labelled, ...]


@dataclass(frozen=True, slots=True)
class _Wanted:
    source: Labelled
    labels: Boxes
    labels_us: list[int]
    path: Path


def prepare(
    sources: Sequence[Labelled],
    spec: ModelSpec,
    min_gap_us: int,
    options: CacheOptions,
    progress: Progress,
) -> Prepared:
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
        taught = source.taught(len(spec.class_names))
        labels_us = label_times(taught.times_us, min_gap_us)
        path = options.folder / file_name(source, labels_us, spec)
        if labels_us:
            wanted.append(_Wanted(source, taught.boxes, labels_us, path))
        else:
            unlabelled.append(source)
    _make_missing(wanted, spec, options, progress)
    found: list[CutRecording] = []
    left_out: list[Labelled] = []
    for each in wanted:
        header = read_header(each.path, spec)
        if header is None:
            left_out.append(each.source)
        else:
            found.append(_described(each, header, spec))
    return Prepared(tuple(found), tuple(unlabelled), tuple(left_out))


def remake(recording: CutRecording, spec: ModelSpec) -> None:
    """Cut a recording again whose file turned out to be damaged.

    Raises:
        DatasetError: the recording is not the one that was cut before.
        OSError, IngestError: as for `prepare`.
    """
    if file_name(recording.source, list(recording.labels_us), spec) != recording.path.name:
        raise DatasetError(f"{recording.source.events}: changed during training; start again")
    job = WriteJob(recording.path, recording.source, list(recording.labels_us), spec)
    for _, temporary in write_all([job]):
        temporary.replace(recording.path)


def _described(wanted: _Wanted, header: Header, spec: ModelSpec) -> CutRecording:
    grid = header.grid
    size = (header.width, header.height)
    times_us = grid.edges_us[grid.labelled + 1]
    boxes = boxes_at(wanted.labels, times_us, Letterbox.fit(*size, spec), *size)
    return CutRecording(wanted.source, wanted.path, tuple(wanted.labels_us), grid, boxes)


def _make_missing(
    wanted: Sequence[_Wanted], spec: ModelSpec, options: CacheOptions, progress: Progress
) -> None:
    present = {each.path for each in wanted if read_header(each.path, spec) is not None}
    missing = [each for each in wanted if each.path not in present]
    for path in present:
        path.touch()
    room = CacheRoom(options.folder, options.cache_bytes, frozenset(each.path for each in wanted))
    jobs = [WriteJob(each.path, each.source, each.labels_us, spec) for each in missing]
    written = write_all(jobs, options.processes)
    with closing(written):
        for index, (job, temporary) in enumerate(written):
            if not room.admits(temporary.stat().st_size):
                temporary.unlink()
                if options.overflow == "refuse":
                    raise DatasetError(_too_little(options, index + len(present), len(wanted)))
                return
            temporary.replace(job.path)
            progress((index + 1) / len(jobs))


def _too_little(options: CacheOptions, held: int, wanted: int) -> str:
    return (
        f"{options.folder}: {options.cache_bytes} bytes hold {held} of {wanted} cut recordings; allow more "
        "(cache_bytes), train on a smaller input, or let the rest be left out (overflow)"
    )
