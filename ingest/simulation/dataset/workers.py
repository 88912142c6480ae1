"""Recordings side by side, each in a process with a renderer of its own.

A process is told one job at a time over a pipe and answers with its progress and one result. A process that
dies loses the recording it was at, and another takes its place.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.simulation.dataset.job import FilmFactory, RecordingJob, RecordingSummary, run_job

STOP_TIMEOUT_S = 20.0
"""A process gets this long to remove its unfinished files; then it is killed."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A job is under way; share 0 to 1."""

    job: RecordingJob
    share: float


@dataclass(frozen=True, slots=True)
class JobDone:
    """A job is done."""

    job: RecordingJob
    summary: RecordingSummary


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A job has failed; nothing of it is left on disk."""

    job: RecordingJob
    reason: str


JobMessage = JobProgress | JobDone | JobFailed


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    connection: "Connection[RecordingJob, JobMessage]"
    job: RecordingJob | None = None


def run_jobs(jobs: Iterable[RecordingJob], workers: int, film_factory: FilmFactory) -> Generator[JobMessage]:
    """Runs all jobs, at most `workers` at a time, and tells of each as it happens.

    Closing the generator, or an exception such as Ctrl-C, ends the processes; what is unfinished leaves no
    file.
    """
    waiting = deque(jobs)
    crew = [_start_worker(film_factory) for _ in range(min(workers, len(waiting)))]
    try:
        while waiting or any(worker.job for worker in crew):
            for worker in crew:
                if worker.job is None and waiting:
                    worker.job = waiting.popleft()
                    worker.connection.send(worker.job)
            ready = wait([worker.connection for worker in crew if worker.job])
            for place, worker in enumerate(crew):
                if worker.connection in ready and worker.job:
                    news = _receive_message(worker, worker.job)
                    if not worker.connection.closed:
                        worker.job = worker.job if isinstance(news, JobProgress) else None
                    elif waiting:
                        crew[place] = _start_worker(film_factory)
                    else:
                        worker.job = None
                    yield news
    finally:
        for worker in crew:
            worker.connection.close()  # which ends those without a job
            if worker.job is not None:
                worker.process.terminate()
        for worker in crew:
            worker.process.join(STOP_TIMEOUT_S)
            worker.process.kill()


def _receive_message(worker: _Worker, job: RecordingJob) -> JobMessage:
    try:
        return worker.connection.recv()
    except (EOFError, OSError):
        worker.connection.close()
        worker.process.join()
        return JobFailed(job, f"its process ended with exit status {worker.process.exitcode}")


def _start_worker(film_factory: FilmFactory) -> _Worker:
    # not forked: a child must not inherit a renderer's context
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_worker_main, args=(theirs, film_factory), daemon=True)
    with _ignore_sigint_in_children():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _ignore_sigint_in_children() -> Iterator[None]:
    """Ctrl-C goes to all processes of a terminal, but ending the children is their parent's business."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _worker_main(connection: "Connection[JobMessage, RecordingJob]", film_factory: FilmFactory) -> None:
    """The life of a process: it ends when the pipe does, or by SIGTERM, and then tidies up."""
    signal.signal(signal.SIGTERM, _exit_worker)
    os.environ["LP_NUM_THREADS"] = "1"  # Mesa's software renderer: the cores are shared out by process
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            connection.send(_run_to_message(connection, connection.recv(), film_factory))


def _run_to_message(
    connection: "Connection[JobMessage, RecordingJob]", job: RecordingJob, film_factory: FilmFactory
) -> JobMessage:
    try:
        return JobDone(
            job, run_job(job, film_factory, lambda share: connection.send(JobProgress(job, share)))
        )
    except IngestError as error:
        return JobFailed(job, str(error))
    except Exception as error:  # of a campaign, one recording is lost
        return JobFailed(job, f"{type(error).__name__}: {error}")


def _exit_worker(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
