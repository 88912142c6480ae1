"""Worker processes that generate recordings in parallel, each with its own renderer.

A worker receives one job at a time over a pipe and sends progress messages and one result. If a worker dies,
its current job fails and a new worker replaces it.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, Generic, TypeVar

from spikewatch.ingest.errors import IngestError

STOP_TIMEOUT_S = 20.0
"""Time that a worker has to remove its partial files before it is killed."""

Job = TypeVar("Job")

RecordingSummary = dict[str, Any]
"""Entry of one recording in `simulation.json`."""

JobRunner = Callable[[Job, Callable[[float], None]], RecordingSummary]
"""Runs one job and reports the completed share, 0 to 1; module-level or partial, because it is pickled."""


@dataclass(frozen=True, slots=True)
class JobProgress(Generic[Job]):
    """Progress of a running job; share 0 to 1."""

    job: Job
    share: float


@dataclass(frozen=True, slots=True)
class JobDone(Generic[Job]):
    """Result of a completed job."""

    job: Job
    summary: RecordingSummary


@dataclass(frozen=True, slots=True)
class JobFailed(Generic[Job]):
    """Failure of a job, which has left no files."""

    job: Job
    reason: str


JobMessage = JobProgress[Job] | JobDone[Job] | JobFailed[Job]


@dataclass(slots=True)
class _Worker(Generic[Job]):
    process: SpawnProcess
    connection: "Connection[Job, JobMessage[Job]]"
    job: Job | None = None


def run_jobs(jobs: Iterable[Job], workers: int, run: JobRunner[Job]) -> Generator[JobMessage[Job]]:
    """Run all jobs, at most `workers` at a time, and yield their messages as they arrive.

    Closing the generator, or an exception such as KeyboardInterrupt, ends the workers and removes partial
    files.
    """
    queue = deque(jobs)
    pool = [_start_worker(run) for _ in range(min(workers, len(queue)))]
    try:
        while queue or any(worker.job for worker in pool):
            for worker in pool:
                if worker.job is None and queue:
                    worker.job = queue.popleft()
                    worker.connection.send(worker.job)
            ready = wait([worker.connection for worker in pool if worker.job])
            for index, worker in enumerate(pool):
                if worker.connection not in ready or not worker.job:
                    continue
                message = _receive_message(worker, worker.job)
                if worker.connection.closed and queue:
                    pool[index] = _start_worker(run)
                elif worker.connection.closed or not isinstance(message, JobProgress):
                    worker.job = None
                yield message
    finally:
        _stop_workers(pool)


def _stop_workers(pool: list[_Worker[Job]]) -> None:
    for worker in pool:
        worker.connection.close()  # an idle worker exits when its pipe is closed
        if worker.job is not None:
            worker.process.terminate()
    for worker in pool:
        worker.process.join(STOP_TIMEOUT_S)
        worker.process.kill()


def _receive_message(worker: _Worker[Job], job: Job) -> JobMessage[Job]:
    try:
        return worker.connection.recv()
    except (EOFError, OSError):
        worker.connection.close()
        worker.process.join()
        return JobFailed(job, f"its process ended with exit status {worker.process.exitcode}")


def _start_worker(run: JobRunner[Job]) -> _Worker[Job]:
    # Spawned, not forked, because a child must not inherit a renderer's OpenGL context.
    context = get_context("spawn")
    parent_end, child_end = context.Pipe()
    process = context.Process(target=_worker_main, args=(child_end, run), daemon=True)
    with _ignore_sigint_in_children():
        process.start()
    child_end.close()
    return _Worker(process, parent_end)


@contextmanager
def _ignore_sigint_in_children() -> Iterator[None]:
    """Make children started in the block ignore Ctrl-C, which a terminal sends to all processes.

    The parent ends the children itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _worker_main(connection: "Connection[JobMessage[Job], Job]", run: JobRunner[Job]) -> None:
    """Run jobs from the pipe until it is closed, or until SIGTERM, which removes partial files."""
    signal.signal(signal.SIGTERM, _exit_worker)
    os.environ["LP_NUM_THREADS"] = "1"  # Mesa's software renderer; the workers share the cores
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            connection.send(_run_to_message(connection, connection.recv(), run))


def _run_to_message(
    connection: "Connection[JobMessage[Job], Job]", job: Job, run: JobRunner[Job]
) -> JobMessage[Job]:
    try:
        return JobDone(job, run(job, lambda share: connection.send(JobProgress(job, share))))
    except IngestError as error:
        return JobFailed(job, str(error))
    except Exception as error:  # a failed recording must not end the run
        return JobFailed(job, f"{type(error).__name__}: {error}")


def _exit_worker(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
