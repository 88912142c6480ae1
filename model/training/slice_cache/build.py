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
from spikewatch.model.training.datasets.labelled_recording import Labelled
from spikewatch.model.training.slice_cache.cache_file import TEMPORARY, write_file


@dataclass(frozen=True, slots=True)
class WriteJob:
    """A recording to be cut, and where it is to end up."""

    path: Path
    source: Labelled
    labels_us: list[int]
    spec: ModelSpec


def write_all(jobs: Sequence[WriteJob], processes: int = 1) -> Generator[tuple[WriteJob, Path], None, None]:
    """Cut recordings into temporary files beside their places, in the order of the jobs.

    The caller moves each file before drawing the next. At most `processes` files wait or are being written;
    closing the iterator removes them. One process: this one.

    Raises (while drawing):
        OSError, ModelError, IngestError: see `write_file`.
    """
    if processes == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, _write(job, _temporary(job))
        return
    with ProcessPoolExecutor(min(processes, len(jobs)), get_context("spawn"), _calm) as pool:
        yield from _in_order(jobs, processes, pool)


def _in_order(
    jobs: Iterable[WriteJob], ahead: int, pool: ProcessPoolExecutor
) -> Iterator[tuple[WriteJob, Path]]:
    waiting: deque[tuple[WriteJob, Future[Path]]] = deque()
    try:
        for job in jobs:
            # The provenance is a view of a dict, which cannot be sent to a process.
            sent = replace(job, spec=replace(job.spec, provenance={}))
            waiting.append((job, pool.submit(_write, sent, _temporary(job))))
            if len(waiting) == ahead:
                yield _done(waiting)
        while waiting:
            yield _done(waiting)
    finally:
        for job, future in waiting:
            if not future.cancel() and future.exception() is None:
                _temporary(job).unlink(missing_ok=True)


def _done(waiting: deque[tuple[WriteJob, Future[Path]]]) -> tuple[WriteJob, Path]:
    job, future = waiting.popleft()
    return job, future.result()


def _calm() -> None:
    torch.set_num_threads(1)


def _temporary(job: WriteJob) -> Path:
    return job.path.with_name(f"{job.path.name}.{os.getpid()}{TEMPORARY}")


def _write(job: WriteJob, to: Path) -> Path:
    try:
        write_file(to, job.source, job.labels_us, job.spec)
    except BaseException:
        to.unlink(missing_ok=True)
        raise
    return to
