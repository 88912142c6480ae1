"""`spikewatch.Client` and `AsyncClient` against a real service: the windows of an unbroken run, each once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spikewatch.ingest.errors import FormatError, GeometryError
from spikewatch.service.auth.keys import make_key
from spikewatch.service.client.async_client import AsyncClient
from spikewatch.service.client.client import Client
from spikewatch.service.client.messages import Message
from spikewatch.service.errors import (
    InvalidKey,
    MissingKey,
    ModelNotFound,
    ServiceError,
    SessionNotFound,
    TooManySessions,
)
from tests.service.support.live import SENSOR, Live, comparable, dat_file, dat_stream, upload
from tests.service.support.relay import Relay, relay
from tests.service.support.shared import SharedServices
from tests.service.support.uploads import as_hdf5

SLICES = 24
OPTIONS: dict[str, Any] = {"confidence": 0.001, "hop": 1}
SESSION = {"format": "dat", **SENSOR, **OPTIONS}
DATA = dat_stream(SLICES)


def chunks(data: bytes = DATA, size: int = 3001) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def windows(messages: list[Message]) -> list[dict[str, Any]]:
    return comparable([dict(message) for message in messages])


@pytest.fixture(scope="module")
def expected(live: Live) -> list[dict[str, Any]]:
    return comparable(upload(live, dat_file(SLICES), **OPTIONS)[0])


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    with Client(live.url) as client:
        yield client


# Live sessions


def test_stream_gives_the_windows_of_an_upload(
    client: Client, live: Live, expected: list[dict[str, Any]]
) -> None:
    with client.session(**SESSION) as session:
        assert session.info["hop"] == 1
        found = list(session.stream(chunks()))
    assert windows(found) == expected
    assert session.totals is not None
    assert session.totals["windows"] == len(expected) == SLICES
    with pytest.raises(KeyError):
        live.manager.sessions[session.id]


def test_sending_and_reading_by_hand(client: Client, expected: list[dict[str, Any]]) -> None:
    with client.session(**SESSION) as session:
        for chunk in chunks():
            session.send(chunk)
        totals = session.close()
        assert windows(list(session)) == expected
    assert totals["events"] == SLICES * 300


def test_asynchronous_stream_of_an_asynchronous_source(live: Live, expected: list[dict[str, Any]]) -> None:
    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks():
            await asyncio.sleep(0)
            yield chunk

    async def run() -> list[Message]:
        async with AsyncClient(live.url) as client, client.session(**SESSION) as session:
            return [window async for window in session.stream(source())]

    assert windows(asyncio.run(run())) == expected


def test_two_sessions_at_once(live: Live, expected: list[dict[str, Any]]) -> None:
    async def run() -> list[list[Message]]:
        async with AsyncClient(live.url) as client:

            async def one() -> list[Message]:
                async with client.session(**SESSION) as session:
                    return [window async for window in session.stream(chunks())]

            return await asyncio.gather(one(), one())

    for found in asyncio.run(run()):
        assert windows(found) == expected


def test_unread_results_pause_the_session(services: SharedServices) -> None:
    narrow = services(outbox_windows=4, inbox_slices=4)

    async def run() -> tuple[int, list[Message]]:
        async with AsyncClient(narrow.url) as client, client.session(**SESSION) as session:
            session._results._limit = 3
            for chunk in chunks():
                await session.send(chunk)
            while len(session._results._results) < 3:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)  # a client that did not pause would go on reading
            held = len(session._results._results)
            found = [await anext(session) for _ in range(SLICES - 1)]
            await session.close()
            return held, found + [window async for window in session]

    held, found = asyncio.run(run())
    assert held == 3
    assert [window["seq"] for window in found] == list(range(SLICES))


def test_leaving_by_an_error_ends_the_session(client: Client, live: Live) -> None:
    before = set(live.manager.sessions)

    def fail() -> None:
        with client.session(**SESSION) as session:
            session.send(DATA[:800])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert set(live.manager.sessions) == before


def test_source_that_fails_raises_its_error_after_its_results(client: Client) -> None:
    def failing() -> Iterator[bytes]:
        yield DATA[: len(DATA) // 2]
        raise FormatError("the camera is broken")

    found: list[Message] = []
    with pytest.raises(FormatError, match="camera"), client.session(**SESSION) as session:
        found.extend(session.stream(failing()))
    assert len(found) == SLICES // 2


# Broken connections


@pytest.fixture
def way(live: Live) -> Iterator[Relay]:
    with relay(live.port) as way:
        yield way


def cutting(way: Relay, every: int) -> Callable[[int], None]:
    """Returns a function that breaks all connections at every `every`-th call."""
    return lambda n: way.cut() if n % every == every - 1 else None


def test_cut_connections_lose_and_repeat_nothing(way: Relay, expected: list[dict[str, Any]]) -> None:
    cut, found = cutting(way, 6), []
    with Client(way.url) as client, client.session(**SESSION) as session:
        for n, window in enumerate(session.stream(slowly(chunks()))):
            found.append(window)
            cut(n)
    assert windows(found) == expected


def slowly(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        time.sleep(0.02)
        yield chunk


def test_service_that_stays_away_is_a_connection_error(services: SharedServices) -> None:
    leaving = services()
    way = Relay(leaving.port)

    def run() -> None:
        with Client(way.url, reconnect_s=1) as client, client.session(**SESSION) as session:
            session.send(DATA[:800])
            way.close()
            session.close()

    with pytest.raises(ConnectionError, match="gave up after 1 s"):
        run()
    with pytest.raises(ConnectionError), Client("http://127.0.0.1:1") as client:
        client.models()


def test_silent_connection_is_dropped_and_replaced(live: Live, expected: list[dict[str, Any]]) -> None:
    """The other side keeps the connection open and passes nothing on, as a dead router does."""
    with relay(live.port) as way:

        async def run() -> list[Message]:
            found: list[Message] = []
            async with (
                AsyncClient(way.url, silence_limit_s=1.0) as client,
                client.session(**SESSION) as session,
            ):
                await session.send(DATA[: len(DATA) // 2])
                async for window in session:
                    found.append(window)
                    if len(found) == 5:
                        break
                way.stall()
                await session.send(DATA[len(DATA) // 2 :])
                await session.close()
                return found + [window async for window in session]

        assert windows(asyncio.run(run())) == expected


# Uploads


@pytest.mark.parametrize("kind", ["bytes", "path", "hdf5"])
def test_upload_gives_windows_and_summary(
    client: Client, live: Live, expected: list[dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "street_td.dat"
    path.write_bytes(as_hdf5(tmp_path, SLICES) if kind == "hdf5" else dat_file(SLICES))
    done = client.upload(path if kind != "bytes" else path.read_bytes(), **OPTIONS)
    found = list(done)
    assert windows(found) == expected
    assert done.summary is not None
    assert done.summary["windows"] == SLICES
    assert live.http.get(f"/v1/detections/{done.job_id}").json()["state"] == "done"
    done.cancel()
    assert live.http.get(f"/v1/detections/{done.job_id}").status_code == 404


def test_upload_in_parts_over_cut_connections(
    way: Relay, expected: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikewatch.service.client.upload.PART_BYTES", 5000)
    cut, found = cutting(way, 4), []
    with Client(way.url) as client:
        done = client.upload(dat_file(SLICES), **OPTIONS)
        for n, window in enumerate(done):
            found.append(window)
            cut(n)
    assert windows(found) == expected
    assert done.summary is not None


@pytest.mark.parametrize(
    ("data", "options", "error"),
    [
        (b"RIFF" * 100, {}, FormatError),
        (dat_stream(2), {"format": "dat"}, GeometryError),
        (dat_file(2), {"weights": "unknown"}, ModelNotFound),
    ],
)
def test_rejected_upload_raises_the_services_error(
    client: Client, data: bytes, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        list(client.upload(data, **options))


# Other requests and typed errors


def test_models_and_sessions_are_listed(client: Client) -> None:
    assert client.models()[0]["loaded"]
    with client.session(**SESSION) as session:
        assert session.id in {entry["session_id"] for entry in client.sessions()}


def test_errors_have_the_classes_of_the_service(client: Client) -> None:
    with pytest.raises(ServiceError, match="confidence") as invalid, client.session(confidence=2):
        pass
    assert (invalid.value.code, invalid.value.status) == ("invalid_request", 422)
    with pytest.raises(SessionNotFound):
        client.ticket("absent")
    with pytest.raises(ServiceError), client.resume_session("absent", 0):
        pass


def test_full_service_says_when_to_retry(services: SharedServices) -> None:
    full = services(max_sessions=1)
    with Client(full.url) as client, client.session(**SESSION):
        with pytest.raises(TooManySessions) as refused, client.session(**SESSION):
            pass
        assert refused.value.retry_after_s == TooManySessions.retry_after_s


def test_keys_and_tickets(services: SharedServices, expected: list[dict[str, Any]]) -> None:
    key, line = make_key("python")
    guarded = services(api_keys=line)
    with pytest.raises(MissingKey), Client(guarded.url) as client:
        client.models()
    with pytest.raises(InvalidKey), Client(guarded.url, key="no") as client, client.session():
        pass
    with Client(guarded.url, key=key) as client, client.session(**SESSION) as session:
        assert "ticket=" in client.ticket(session.id)["stream_url"]
        assert windows(list(session.stream(chunks()))) == expected
