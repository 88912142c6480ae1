"""Coroutines that run side by side: the first error wins, cancellation is awaited, no task is left."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from spikewatch.service.tasks import cancel_and_wait, cancel_when, run_beside

A = TypeVar("A")


def run(coroutine: Coroutine[Any, Any, A]) -> A:
    """Run a coroutine; fail if it leaves a task behind or takes longer than 5 s."""

    async def run_alone() -> A:
        try:
            return await asyncio.wait_for(coroutine, 5)
        finally:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(run_alone())


async def value(result: A) -> A:
    await asyncio.sleep(0)
    return result


async def fail(error: Exception) -> None:
    await asyncio.sleep(0)
    raise error


class Blocker:
    """A coroutine that never ends, and takes a moment to clean up once it is cancelled."""

    def __init__(self, cleanup_error: Exception | None = None) -> None:
        self.started = asyncio.Event()
        self.cleaned_up = False
        self._cleanup_error = cleanup_error

    async def run(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            self.cleaned_up = True
            if self._cleanup_error is not None:
                raise self._cleanup_error


def test_run_beside_returns_result_once_helpers_have_ended() -> None:
    helper = Blocker()
    assert run(run_beside(value(3), helper.run())) == 3
    assert helper.cleaned_up


def test_run_beside_ignores_helper_that_returns_early() -> None:
    async def slow() -> int:
        await asyncio.sleep(0.02)
        return 3

    assert run(run_beside(slow(), value(None))) == 3


def test_run_beside_helper_error_cancels_work() -> None:
    work = Blocker()
    with pytest.raises(ValueError, match="first"):
        run(run_beside(work.run(), fail(ValueError("first"))))
    assert work.cleaned_up


def test_run_beside_work_error_cancels_helpers() -> None:
    helper = Blocker()
    with pytest.raises(ValueError, match="first"):
        run(run_beside(fail(ValueError("first")), helper.run()))
    assert helper.cleaned_up


@pytest.mark.parametrize("work_fails", [True, False])
def test_run_beside_raises_first_of_several_errors(work_fails: bool) -> None:
    failing, other = fail(ValueError("first")), Blocker(ValueError("second")).run()
    pair = (failing, other) if work_fails else (other, failing)
    with pytest.raises(ValueError, match="first"):
        run(run_beside(*pair))


def test_run_beside_result_wins_over_simultaneous_error() -> None:
    async def compete() -> int:
        event = asyncio.Event()

        async def work() -> int:
            await event.wait()
            return 3

        async def helper() -> None:
            await event.wait()
            raise ValueError

        asyncio.get_running_loop().call_later(0.01, event.set)
        return await run_beside(work(), helper())

    assert run(compete()) == 3


@pytest.mark.parametrize("cleanup_error", [None, ValueError("while cancelled")])
def test_run_beside_cancelled_waits_for_all_tasks(cleanup_error: Exception | None) -> None:
    async def cancel() -> None:
        work, helper = Blocker(cleanup_error), Blocker()
        task = asyncio.create_task(run_beside(work.run(), helper.run()))
        await helper.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert work.cleaned_up
        assert helper.cleaned_up

    run(cancel())


def test_run_beside_within_a_timeout_raises_timeout_error() -> None:
    async def time_out() -> None:
        async with asyncio.timeout(0.01):
            await run_beside(Blocker(ValueError("while cancelled")).run(), Blocker().run())

    with pytest.raises(TimeoutError):
        run(time_out())


def test_run_beside_raises_cancellation_of_work() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(run_beside(cancelled(), Blocker().run()))


def test_cancel_when_event_set_raises_error() -> None:
    async def cancel() -> None:
        event, work = asyncio.Event(), Blocker()
        asyncio.get_running_loop().call_later(0.01, event.set)
        with pytest.raises(ValueError, match="event"):
            await cancel_when(event, ValueError("event"), work.run())
        assert work.cleaned_up

    run(cancel())


def test_cancel_when_event_not_set_returns_result() -> None:
    async def wait() -> int:
        return await cancel_when(asyncio.Event(), ValueError(), value(3))

    assert run(wait()) == 3


def test_cancel_and_wait_drops_errors_of_tasks() -> None:
    async def cancel() -> None:
        blocker = Blocker(ValueError("while cancelled"))
        tasks = [asyncio.create_task(blocker.run()), asyncio.create_task(fail(ValueError("before")))]
        await blocker.started.wait()
        await cancel_and_wait(*tasks)
        assert blocker.cleaned_up

    run(cancel())
