"""The directory: what it does when workers come, hang, die and refuse."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from spikewatch.service.cluster import directory as module
from spikewatch.service.cluster.directory import Directory
from spikewatch.service.cluster.leases import Lease
from spikewatch.service.cluster.members import Member

LEASE_S = 0.5
Scenario = Callable[[Directory, list[tuple[str, Lease]]], Awaitable[None]]


def run(
    scenario: Scenario, *, rejecting: tuple[str, ...] = (), orphans: dict[str, str] | None = None
) -> None:
    async def play() -> None:
        adopted: list[tuple[str, Lease]] = []

        async def adopt(member: Member, lease: Lease) -> None:
            if member.name in rejecting:
                raise ConnectionError("the worker is dying")
            adopted.append((member.name, lease))

        directory = Directory(1, LEASE_S, adopt, lambda known: dict(orphans or {}))
        directory.start()
        async with asyncio.timeout(60):
            await scenario(directory, adopted)

    asyncio.run(play())


def join(
    directory: Directory, name: str, life: str = "1", url: str = "", leases: tuple[Lease, ...] = ()
) -> list[str]:
    return directory.register(Member(name, url or f"http://{name}.invalid:1", life, 8, 0.0), list(leases))


async def until(condition: Callable[[], bool], directory: Directory, *alive: str) -> None:
    while not condition():
        for name in alive:
            directory.beat(name, "1")
        await asyncio.sleep(0.02)


def test_sessions_of_a_silent_worker_are_adopted() -> None:
    async def scenario(directory: Directory, adopted: list[tuple[str, Lease]]) -> None:
        join(directory, "a")
        placed = directory.place("cam", '{"hop":1}')
        assert placed is not None
        join(directory, "b")
        await until(lambda: bool(adopted), directory, "b")
        name, lease = adopted[0]
        assert (placed.worker, name, lease.request) == ("a", "b", '{"hop":1}')
        assert lease.epoch > placed.epoch
        assert not directory.beat("a", "1"), "it must register, and is told what it has lost"
        assert join(directory, "a", leases=(Lease("cam", "a", placed.epoch, "{}"),)) == ["cam"]

    run(scenario)


def test_a_closed_port_is_found_by_the_first_client_that_asks() -> None:
    async def scenario(directory: Directory, adopted: list[tuple[str, Lease]]) -> None:
        with socket.socket() as unused:  # bound, but it does not listen, so connections are refused
            unused.bind(("127.0.0.1", 0))
            join(directory, "a", url=f"http://127.0.0.1:{unused.getsockname()[1]}")
            directory.place("cam", "{}")
            join(directory, "b")
            placed = await directory.locate("cam")
            assert placed is not None
            assert placed.url is None
            await until(lambda: bool(adopted), directory, "b")
            again = await directory.locate("cam")
            assert again is not None
            assert again.worker == "b"

    run(scenario)


def test_a_restarted_worker_loses_its_sessions_at_once() -> None:
    async def scenario(directory: Directory, adopted: list[tuple[str, Lease]]) -> None:
        join(directory, "a", life="0")
        directory.place("cam", "{}")
        join(directory, "a", life="1")
        await until(lambda: bool(adopted), directory, "a")
        assert directory.counts["workers_lost"] == 1

    run(scenario)


def test_a_session_resumed_by_its_client_is_not_adopted_too() -> None:
    async def scenario(directory: Directory, adopted: list[tuple[str, Lease]]) -> None:
        join(directory, "a", life="0")
        directory.place("cam", "{}")
        join(directory, "a", life="1")  # its session waits for the loop
        join(directory, "b")
        moved = directory.transfer("cam", "b")
        assert moved is not None
        await asyncio.sleep(2 * module.PLACE_PAUSE_S)
        assert adopted == []
        placed = await directory.locate("cam")
        assert placed is not None
        assert placed.epoch == moved.epoch

    run(scenario)


def test_a_session_that_no_worker_adopts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLACE_ATTEMPTS", 2)

    async def scenario(directory: Directory, adopted: list[tuple[str, Lease]]) -> None:
        join(directory, "b")
        directory.place("cam", "{}")
        join(directory, "b", life="1-again")
        await until(lambda: directory.counts["sessions_lost"] == 1, directory)
        assert await directory.locate("cam") is None

    run(scenario, rejecting=("b",))


def test_sessions_of_an_earlier_directory_are_found_in_the_store() -> None:
    async def scenario(directory: Directory, adopted: list[tuple[str, Lease]]) -> None:
        join(directory, "a", leases=(Lease("known", "a", 5, "{}"),))
        await until(lambda: len(adopted) > 0, directory, "a")
        assert [(name, lease.session_id, lease.request) for name, lease in adopted] == [("a", "lost", "{}")]

    run(scenario, orphans={"known": "{}", "lost": "{}"})


def test_draining_and_full_workers_get_no_sessions() -> None:
    async def scenario(directory: Directory, _adopted: list[tuple[str, Lease]]) -> None:
        join(directory, "a")
        join(directory, "b")
        directory.set_draining("a", True)
        placed = [directory.place(f"cam-{n}", "{}") for n in range(9)]
        assert [p and p.worker for p in placed] == ["b"] * 8 + [None]
        assert directory.target("cam-0", "b") is None
        directory.set_draining("a", False)
        target = directory.target("cam-0", "b")
        assert target is not None
        assert target.worker == "a"
        found = {w["name"]: (w["sessions"], w["draining"]) for w in directory.status()["workers"]}
        assert found == {"a": (0, False), "b": (8, False)}

    run(scenario)
