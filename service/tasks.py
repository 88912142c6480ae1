"""Coroutines that run side by side and end together: no task outlives the call that started it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

A = TypeVar("A")


async def run_beside(work: Coroutine[Any, Any, A], *helpers: Coroutine[Any, Any, None]) -> A:
    """Run `work` with helpers beside it, and return its result. All tasks have ended on return.

    When `work` ends, its helpers are cancelled. A helper that returns early changes nothing; a helper that
    raises cancels `work`. If both happen at once, the result of `work` is returned.

    Raises:
        Exception: the first error, of `work` or of a helper; errors after it are dropped.
    """
    caller = asyncio.current_task()
    assert caller is not None
    cancel_requests = caller.cancelling()
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            helper_tasks = [group.create_task(helper) for helper in helpers]
            await asyncio.wait({task})
            for helper_task in helper_tasks:
                helper_task.cancel()
    except BaseExceptionGroup as errors:
        if caller.cancelling() > cancel_requests:
            raise asyncio.CancelledError from None  # the group reports errors instead of a cancellation
        if task.cancelled() or task.exception() is not None:
            raise errors.exceptions[0] from None
    return task.result()


async def raise_when(event: asyncio.Event, error: Exception) -> NoReturn:
    """Raise `error` once `event` is set."""
    await event.wait()
    raise error


async def cancel_when(event: asyncio.Event, error: Exception, work: Coroutine[Any, Any, A]) -> A:
    """Return the result of `work`, or cancel it and raise `error` once `event` is set."""
    return await run_beside(work, raise_when(event, error))


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended. Their results and errors are dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
