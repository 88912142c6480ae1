"""Sessions at other workers are as docs/protocol.md promises."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from spikewatch.service.errors import ServiceError, TooManySessions
from spikewatch.service.session_manager.moving import move_session
from tests.e2e.support.conversation import LIVELY, events, same, talk
from tests.e2e.support.protocol import Caller
from tests.model.support.fakes import small_detector
from tests.service.support.live import Live, live_service
from tests.service.support.moves import move, redirecting, run

DATA = events(12)
HALF = 6 * 200 * 8 + 3
"""Within a record."""


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Live]]:
    one, two = (Path(tmp_path_factory.mktemp("store")) for _ in range(2))
    with (
        live_service(small_detector(), snapshot_dir=one) as first,
        live_service(small_detector(), snapshot_dir=two) as second,
    ):
        yield first, second


def test_moved_stream_continues_at_its_location(workers: tuple[Live, Live]) -> None:
    source, target = workers
    with Caller(source.url) as caller, Caller(target.url) as other:
        whole, _ = talk(other, DATA, "close")
        session, client = caller.start(**LIVELY)
        client.send(DATA[:HALF])
        before = [client.next()]
        with redirecting(source, target.url):
            move(source, target, session["session_id"])
            *rest, moved = client.rest()
            before += rest
            assert (moved["type"], moved["code"], client.ending) == ("error", "moved", (1008, "moved"))
            assert (moved["location"], moved["next_seq"]) == (target.url, before[-1]["seq"] + 1)
            accepted = moved["accepted_bytes"]
            place = f"?offset={accepted}&seq={moved['next_seq']}"
            second = other.connect(session["stream_url"] + place)
            assert second.first["accepted_bytes"] == accepted
            second.send(DATA[accepted:], "close")
            assert same(before + second.rest()) == same(whole)


def test_wrong_worker_redirects_requests(workers: tuple[Live, Live]) -> None:
    source, target = workers
    with redirecting(source, target.url), Caller(source.url) as caller, Caller(target.url) as other:
        path = f"/v1/sessions/{other.open()['session_id']}"
        answer = caller.http.get(f"{path}?a=b")
        assert (answer.status_code, answer.headers["location"]) == (307, f"{target.url}{path}?a=b")
        assert (answer.json()["code"], answer.json()["location"]) == ("moved", target.url)
        assert httpx.get(answer.headers["location"]).status_code == 200
        assert caller.open()["url"] == source.url


def test_alone_no_session_has_a_url(workers: tuple[Live, Live]) -> None:
    with Caller(workers[0].url) as caller:
        session, client = caller.start(**LIVELY)
        assert "url" not in session
        assert "url" not in client.first


def test_failed_move_leaves_the_session_where_it_is(workers: tuple[Live, Live]) -> None:
    source, target = workers

    async def reject(_data: bytes) -> str:
        raise TooManySessions("the other worker has no room")

    with Caller(source.url) as caller, Caller(target.url) as other:
        whole, _ = talk(other, DATA, "close")
        session, client = caller.start(**LIVELY)
        client.send(DATA[:HALF])
        before = [client.next()]
        with pytest.raises(ServiceError, match="no room"):
            run(source, move_session(source.manager, source.manager.get(session["session_id"]), reject))
        *rest, busy = client.rest()
        assert (busy["code"], client.ending) == ("session_busy", (1008, "session_busy"))
        before += rest
        accepted = caller.http.get(f"/v1/sessions/{session['session_id']}").json()["accepted_bytes"]
        second = caller.connect(f"{session['stream_url']}?offset={accepted}&seq={before[-1]['seq'] + 1}")
        second.send(DATA[accepted:], "close")
        assert same(before + second.rest()) == same(whole)
