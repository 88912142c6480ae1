"""Clients follow a session to other workers, a limited number of times."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.client.client import Client
from spikewatch.service.client.retry import RetryLater
from spikewatch.service.client.session import MAX_MOVES, RemoteSession, make_http
from tests.service.support.live import SENSOR, Live, comparable, dat_file, dat_stream, live_service, upload
from tests.service.support.moves import move, redirecting

SLICES = 18
OPTIONS: dict[str, Any] = {"confidence": 0.001, "hop": 1}


@pytest.fixture(scope="module")
def workers(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Live]]:
    one, two = (Path(tmp_path_factory.mktemp("store")) for _ in range(2))
    with (
        live_service(detector, snapshot_dir=one) as first,
        live_service(detector, snapshot_dir=two) as second,
    ):
        yield first, second


def test_client_follows_a_session_there_and_back(workers: tuple[Live, Live]) -> None:
    here, there = workers
    data = dat_stream(SLICES)
    third = len(data) // 3
    expected = comparable(upload(here, dat_file(SLICES), **OPTIONS)[0])
    with (
        redirecting(here, there.url),
        redirecting(there, here.url),
        Client(here.url, reconnect_s=60) as client,
        client.session(format="dat", **SENSOR, **OPTIONS) as session,
    ):
        found = []
        session.send(data[:third])
        found.append(next(iter(session)))
        move(here, there, session.id)
        session.send(data[third : 2 * third])
        while len(found) < SLICES // 2:
            found.append(next(iter(session)))
        move(there, here, session.id)
        session.send(data[2 * third :])
        session.close()
        found += list(session)
    assert comparable([dict(window) for window in found]) == expected


def with_session(action: Callable[[RemoteSession], Awaitable[None]], *urls: str) -> RemoteSession:
    """Run an action of a session that was opened before."""

    async def run() -> RemoteSession:
        async with make_http(None) as http:
            session = RemoteSession(http, urls)
            session.info = {"session_id": "none", "stream_url": "/none"}
            await action(session)
        return session

    return asyncio.run(run())


def test_endless_moves_are_followed_a_limited_number_of_times(workers: tuple[Live, Live]) -> None:
    here, there = workers

    async def reconnect(session: RemoteSession) -> None:
        with pytest.raises(RetryLater, match=f"more than {MAX_MOVES} times"):
            await session.reconnect()

    before = here.metric('spikewatch_refused_total{code="moved"}')
    with redirecting(here, there.url), redirecting(there, here.url):
        with_session(reconnect, here.url)
    assert 0 < here.metric('spikewatch_refused_total{code="moved"}') - before <= MAX_MOVES


def test_a_dead_worker_is_replaced_by_the_next_address(workers: tuple[Live, Live]) -> None:
    session = with_session(lambda session: session.open({}), "http://127.0.0.1:9", workers[1].url)
    assert session.url == workers[1].url
    workers[1].http.delete(f"/v1/sessions/{session.id}")


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    async def follow(session: RemoteSession) -> None:
        with pytest.raises(ConnectionError, match="not followed"):
            session.follow("http://two.example")

    with_session(follow, "https://one.example")
