"""Cutting of many recordings at once, in processes of their own."""

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
    """A recording to be cut, and where it is to end up."""

    path: Path
    source: LabelledRecording
    labels_us: list[int]
    spec: ModelSpec


def write_cache_files(
    jobs: Sequence[CacheJob], processes: int = 1
) -> Generator[tuple[CacheJob, Path], None, None]:
    """Cut recordings into temporary files beside their places, in the order of the jobs.

    The caller moves each file before drawing the next. At most `processes` files wait or are being written;
    closing the iterator removes them. One process: this one.

    Raises (while drawing):
        OSError, ModelError, IngestError: see `write_cache_file`.
    """
    if processes == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, _write_temporary(job, _temporary_path(job))
        return
    with ProcessPoolExecutor(min(processes, len(jobs)), get_context("spawn"), _use_one_thread) as pool:
        yield from _write_parallel(jobs, processes, pool)


def _write_parallel(
    jobs: Iterable[CacheJob], ahead: int, pool: ProcessPoolExecutor
) -> Iterator[tuple[CacheJob, Path]]:
    waiting: deque[tuple[CacheJob, Future[Path]]] = deque()
    try:
        for job in jobs:
            # The provenance is a view of a dict, which cannot be sent to a process.
            sent = replace(job, spec=replace(job.spec, provenance={}))
            waiting.append((job, pool.submit(_write_temporary, sent, _temporary_path(job))))
            if len(waiting) == ahead:
                yield _next_result(waiting)
        while waiting:
            yield _next_result(waiting)
    finally:
        for job, future in waiting:
            if not future.cancel() and future.exception() is None:
                _temporary_path(job).unlink(missing_ok=True)


def _next_result(waiting: deque[tuple[CacheJob, Future[Path]]]) -> tuple[CacheJob, Path]:
    job, future = waiting.popleft()
    return job, future.result()


def _use_one_thread() -> None:
    torch.set_num_threads(1)


def _temporary_path(job: CacheJob) -> Path:
    return job.path.with_name(f"{job.path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")


def _write_temporary(job: CacheJob, to: Path) -> Path:
    try:
        write_cache_file(to, job.source, job.labels_us, job.spec)
    except BaseException:
        to.unlink(missing_ok=True)
        raise
    return to
