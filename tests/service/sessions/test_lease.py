"""The right to feed a session: one holder, and the newest of the clients that want it next."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from spikewatch.service.errors import SessionBusy, SessionClosed
from spikewatch.service.sessions import lease as lease_module
from spikewatch.service.sessions.activity import ActivityTracker, Notifications
from spikewatch.service.sessions.lease import FeedLease
from spikewatch.service.sessions.lifecycle import Lifecycle


def make_lease() -> tuple[FeedLease, Lifecycle]:
    lifecycle = Lifecycle()
    return FeedLease("cam", lifecycle, ActivityTracker(lifecycle, Notifications())), lifecycle


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 30))


def test_lease_has_one_holder() -> None:
    async def acquire_twice() -> None:
        lease, _ = make_lease()
        with lease.acquire():
            assert lease.held
            with pytest.raises(SessionBusy, match="cam"), lease.acquire():
                pass
            assert lease.held
        assert not lease.held
        lease.check_available()

    run(acquire_twice())


def test_lease_of_a_closed_session_is_not_available() -> None:
    async def acquire_closed() -> None:
        lease, lifecycle = make_lease()
        lifecycle.close(SessionClosed("over"), "client")
        with pytest.raises(SessionClosed), lease.acquire():
            pass

    run(acquire_closed())


def test_take_over_displaces_the_holder_and_returns_once_released() -> None:
    async def take_over() -> None:
        lease, _ = make_lease()
        released: list[bool] = []

        async def hold() -> None:
            with lease.acquire():
                await lease.displaced.wait()
                await asyncio.sleep(0.05)
                released.append(True)

        holder = asyncio.create_task(hold())
        await asyncio.sleep(0)
        await lease.take_over()
        assert released == [True]
        with lease.acquire():
            assert not lease.displaced.is_set()
        await holder

    run(take_over())


def test_take_over_of_a_free_lease_returns_at_once() -> None:
    async def take_over() -> None:
        lease, _ = make_lease()
        await lease.take_over()
        lease.check_available()

    run(take_over())


def test_take_over_times_out_if_the_holder_does_not_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "DISPLACE_TIMEOUT_S", 0.1)

    async def take_over() -> None:
        lease, _ = make_lease()
        with lease.acquire():
            begun_s = time.monotonic()
            await lease.take_over()
            assert time.monotonic() - begun_s >= 0.09
            with pytest.raises(SessionBusy):
                lease.check_available()

    run(take_over())


def test_newest_of_several_claims_takes_over() -> None:
    async def take_over() -> None:
        lease, _ = make_lease()
        with lease.acquire():
            claims = [asyncio.create_task(lease.take_over()) for _ in range(3)]
            await lease.displaced.wait()
        outcomes = await asyncio.gather(*claims, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [SessionBusy, SessionBusy, type(None)]

    run(take_over())
