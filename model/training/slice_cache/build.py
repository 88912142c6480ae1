"""Cache writer: preprocesses recordings into temporary cache files, in parallel processes."""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch

from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.labelled_recording import LabelledRecording
from spikewatch.model.training.slice_cache.cache_file import TEMPORARY_SUFFIX, write_cache_file


@dataclass(frozen=True, slots=True)
class CacheJob:
    """Recording to preprocess, and the path of its cache file."""

    path: Path
    source: LabelledRecording
    labels_us: list[int]
    spec: ModelSpec


def write_cache_files(
    jobs: Sequence[CacheJob], processes: int = 1
) -> Generator[tuple[CacheJob, Path], None, None]:
    """Preprocess recordings into temporary files next to their final paths, and yield them in order.

    The caller moves each file before it requests the next. At most `processes` files are pending or being
    written; closing the iterator removes them. With one process, the work runs in the calling process.

    Raises (during iteration):
        OSError, ModelError, IngestError: see `write_cache_file`.
    """
    if processes == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, _write_temporary(job, _temporary_path(job))
        return
    with ProcessPoolExecutor(min(processes, len(jobs)), get_context("spawn"), _use_one_thread) as pool:
        yield from _write_parallel(jobs, processes, pool)


def _write_parallel(
    jobs: Iterable[CacheJob], max_pending: int, pool: ProcessPoolExecutor
) -> Iterator[tuple[CacheJob, Path]]:
    pending: deque[tuple[CacheJob, Future[Path]]] = deque()
    try:
        for job in jobs:
            # without provenance, because a view of a dict cannot be pickled
            picklable = replace(job, spec=replace(job.spec, provenance={}))
            pending.append((job, pool.submit(_write_temporary, picklable, _temporary_path(job))))
            if len(pending) == max_pending:
                yield _next_result(pending)
        while pending:
            yield _next_result(pending)
    finally:
        for job, future in pending:
            if not future.cancel() and future.exception() is None:
                _temporary_path(job).unlink(missing_ok=True)


def _next_result(pending: deque[tuple[CacheJob, Future[Path]]]) -> tuple[CacheJob, Path]:
    job, future = pending.popleft()
    return job, future.result()


def _use_one_thread() -> None:
    torch.set_num_threads(1)


def _temporary_path(job: CacheJob) -> Path:
    return job.path.with_name(f"{job.path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")


def _write_temporary(job: CacheJob, temporary: Path) -> Path:
    try:
        write_cache_file(temporary, job.source, job.labels_us, job.spec)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
