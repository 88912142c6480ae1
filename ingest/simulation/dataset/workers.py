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
from spikewatch.ingest.simulation.dataset.job import Facts, Job, MakeFilm, run_job

STOPPING_S = 20.0
"""A process gets this long to remove its unfinished files; then it is killed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A job is under way; share 0 to 1."""

    job: Job
    share: float


@dataclass(frozen=True, slots=True)
class Done:
    """A job is done."""

    job: Job
    facts: Facts


@dataclass(frozen=True, slots=True)
class Failed:
    """A job has failed; nothing of it is left on disk."""

    job: Job
    reason: str


News = Progress | Done | Failed


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: "Connection[Job, News]"
    job: Job | None = None


def run_jobs(jobs: Iterable[Job], workers: int, make_film: MakeFilm) -> Generator[News]:
    """Runs all jobs, at most `workers` at a time, and tells of each as it happens.

    Closing the generator, or an exception such as Ctrl-C, ends the processes; what is unfinished leaves no
    file.
    """
    waiting = deque(jobs)
    crew = [_hire(make_film) for _ in range(min(workers, len(waiting)))]
    try:
        while waiting or any(worker.job for worker in crew):
            for worker in crew:
                if worker.job is None and waiting:
                    worker.job = waiting.popleft()
                    worker.pipe.send(worker.job)
            ready = wait([worker.pipe for worker in crew if worker.job])
            for place, worker in enumerate(crew):
                if worker.pipe in ready and worker.job:
                    news = _heard(worker, worker.job)
                    if not worker.pipe.closed:
                        worker.job = worker.job if isinstance(news, Progress) else None
                    elif waiting:
                        crew[place] = _hire(make_film)
                    else:
                        worker.job = None
                    yield news
    finally:
        for worker in crew:
            worker.pipe.close()  # which ends those without a job
            if worker.job is not None:
                worker.process.terminate()
        for worker in crew:
            worker.process.join(STOPPING_S)
            worker.process.kill()


def _heard(worker: _Worker, job: Job) -> News:
    try:
        return worker.pipe.recv()
    except (EOFError, OSError):
        worker.pipe.close()
        worker.process.join()
        return Failed(job, f"its process ended with exit status {worker.process.exitcode}")


def _hire(make_film: MakeFilm) -> _Worker:
    # not forked: a child must not inherit a renderer's context
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, make_film), daemon=True)
    with _children_ignore_interrupts():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _children_ignore_interrupts() -> Iterator[None]:
    """Ctrl-C goes to all processes of a terminal, but ending the children is their parent's business."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(pipe: "Connection[News, Job]", make_film: MakeFilm) -> None:
    """The life of a process: it ends when the pipe does, or by SIGTERM, and then tidies up."""
    signal.signal(signal.SIGTERM, _leave)
    os.environ["LP_NUM_THREADS"] = "1"  # Mesa's software renderer: the cores are shared out by process
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            pipe.send(_result(pipe, pipe.recv(), make_film))


def _result(pipe: "Connection[News, Job]", job: Job, make_film: MakeFilm) -> News:
    try:
        return Done(job, run_job(job, make_film, lambda share: pipe.send(Progress(job, share))))
    except IngestError as error:
        return Failed(job, str(error))
    except Exception as error:  # of a campaign, one recording is lost
        return Failed(job, f"{type(error).__name__}: {error}")


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
