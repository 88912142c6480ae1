"""Who may use a service that has keys, against a real server."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets
from fastapi.routing import APIRoute
from websockets.sync.client import connect

import spikewatch.service.auth.tickets
from spikewatch.model.detector import Detector
from spikewatch.service.auth.principal import Principal
from spikewatch.service.errors import InvalidKey
from tests.service.support.http_client import opened, problem
from tests.service.support.keyring import (
    ALICE,
    ALICE_LINE,
    BOB,
    BOB_LINE,
    DEBTOR,
    DEBTOR_LINE,
    SLOW,
    SLOW_LINE,
    with_key,
)
from tests.service.support.live import Live, comparable, dat_file, dat_stream, live_service, talk
from tests.service.support.waiting import until


@pytest.fixture(scope="module")
def guarded(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service with the keys of Alice, Bob and two slow ones."""
    path = tmp_path_factory.mktemp("keys") / "keys"
    slow = f"{SLOW_LINE} sessions=1 uploads=1 bytes_per_s=20000"
    path.write_text(f"{ALICE_LINE}\n{BOB_LINE}\n{slow}\n{DEBTOR_LINE} bytes_per_s=1000\n")
    with live_service(detector, api_keys_file=path, snapshot_dir=path.parent / "saved") as live:
        yield live


@pytest.fixture
def alice(guarded: Live) -> Iterator[httpx.Client]:
    with with_key(guarded, ALICE) as client:
        yield client


@pytest.fixture
def bob(guarded: Live) -> Iterator[httpx.Client]:
    with with_key(guarded, BOB) as client:
        yield client


def routes(live: Live) -> list[tuple[str, str]]:
    paths = live.app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def test_every_route_requires_a_key(guarded: Live) -> None:
    asked = 0
    for method, path in routes(guarded):
        path = path.format(session_id="x", job_id="x", name="y")
        answer = guarded.http.request(method, path)
        if path.startswith("/v2/health/"):
            assert answer.status_code == 200
            continue
        asked += 1
        assert problem(answer) == (401, "key_missing"), path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        wrong = guarded.http.request(method, path, headers={"X-API-Key": ALICE[:-1]})
        assert problem(wrong) == (401, "key_unknown"), path
    assert asked > 10
    for path in ("stream", "watch"):
        with (
            pytest.raises(websockets.InvalidStatus) as refused,
            connect(f"{guarded.ws_url}/v1/sessions/x/{path}"),
        ):
            pass
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body)["code"] == "key_missing"


def test_key_is_accepted_in_both_headers(guarded: Live) -> None:
    for headers in ({"X-API-Key": ALICE}, {"Authorization": f"bearer {ALICE}"}):
        assert guarded.http.get("/v1/models", headers=headers).status_code == 200
    for headers in (
        {"Authorization": f"Basic {ALICE}"},
        {"Authorization": ALICE},
        {"Cookie": f"key={ALICE}"},
    ):
        assert problem(guarded.http.get("/v1/models", headers=headers)) == (401, "key_missing")
    assert problem(guarded.http.get("/v1/models", params={"key": ALICE})) == (401, "key_missing")


def test_key_accesses_its_own_sessions_only(guarded: Live, alice: httpx.Client, bob: httpx.Client) -> None:
    hers, his, ended = opened(alice), opened(bob), opened(alice)
    alice.delete(f"/v1/sessions/{ended}")
    assert [s["session_id"] for s in alice.get("/v1/sessions").json()["sessions"]] == [hers]
    assert [s["session_id"] for s in bob.get("/v1/sessions").json()["sessions"]] == [his]
    for session_id in (hers, ended):
        for method, path in routes(guarded):
            if "{session_id}" not in path or (method, path.rsplit("/", 1)[1]) == ("DELETE", "snapshot"):
                continue  # forgetting what never was saved is no error
            answer = bob.request(method, path.format(session_id=session_id))
            assert problem(answer) == (404, "session_unknown"), path
            unknown = bob.request(method, path.format(session_id="0" * 32))
            assert answer.json()["detail"].replace(session_id, "0" * 32) == unknown.json()["detail"]
        for path in ("stream", "watch"):
            address = f"{guarded.ws_url}/v1/sessions/{session_id}/{path}"
            with connect(address, additional_headers={"X-API-Key": BOB}) as socket:
                assert talk(socket)[0]["code"] == "session_unknown"
    assert problem(alice.get(f"/v1/sessions/{ended}")) == (410, "session_closed")
    assert alice.get(f"/v1/sessions/{hers}").status_code == 200
    for client, session_id in ((alice, hers), (bob, his)):
        assert client.delete(f"/v1/sessions/{session_id}").status_code == 200


def test_two_keys_can_use_the_same_session_id(guarded: Live, alice: httpx.Client, bob: httpx.Client) -> None:
    assert opened(alice, session_id="camera") != opened(bob, session_id="camera")
    alice.post("/v1/sessions/camera/events", content=dat_stream(1))
    accepted = [client.get("/v1/sessions/camera").json()["accepted_bytes"] for client in (alice, bob)]
    assert accepted == [len(dat_stream(1)), 0]
    job = {"job_id": "recording"}
    assert alice.post("/v1/detections", content=dat_file(2), params=job).status_code == 200
    assert alice.get("/v1/detections/recording").json()["state"] == "done"
    whole_id = alice.get("/v1/detections/recording").json()["job_id"]
    for name in ("recording", whole_id):
        for path in ("", "/results"):
            assert bob.get(f"/v1/detections/{name}{path}").status_code == 404
        assert bob.delete(f"/v1/detections/{name}").status_code == 404
    for client in (alice, bob):
        assert client.delete("/v1/sessions/camera").status_code == 200


def test_saved_session_is_resumed_by_its_key_only(detector: Detector, tmp_path: Path) -> None:
    """Also by a service that was started later."""
    options = {"api_keys": f"{ALICE_LINE}\n{BOB_LINE}", "snapshot_dir": tmp_path}
    data = dat_stream(8)
    with live_service(detector, **options) as live, with_key(live, ALICE) as alice:
        session_id = opened(alice, session_id="camera")
        assert alice.post("/v1/sessions/camera/events", content=data[:9600]).status_code == 200
    with live_service(detector, **options) as live:
        with with_key(live, BOB) as bob:
            for name in ("camera", session_id):
                assert problem(bob.get(f"/v1/sessions/{name}")) == (404, "session_unknown")
                answer = bob.post("/v1/sessions", json={"resume": name})
                assert problem(answer) == (404, "session_unknown")
                bob.delete(f"/v1/sessions/{name}/snapshot")
        with with_key(live, ALICE) as alice:
            answer = alice.post("/v1/sessions", json={"resume": "camera"})
            assert answer.status_code == 201, answer.text
            assert (answer.json()["session_id"], answer.json()["accepted_bytes"]) == (session_id, 9600)


def test_results_with_keys_equal_results_without(guarded: Live, live: Live, alice: httpx.Client) -> None:
    ours = alice.post("/v1/detections", content=dat_file(8)).text.splitlines()[:-1]
    theirs = live.http.post("/v1/detections", content=dat_file(8)).text.splitlines()[:-1]
    assert comparable(list(map(json.loads, ours))) == comparable(list(map(json.loads, theirs)))
    session_id = opened(alice)
    address = f"{guarded.ws_url}/v1/sessions/{session_id}/stream"
    with connect(address, additional_headers={"X-API-Key": ALICE}) as socket:
        socket.send(dat_stream(8))
        socket.send("close")
        windows = [message for message in talk(socket) if message["type"] == "window"]
    assert comparable(windows) == comparable(list(map(json.loads, ours)))


def test_ticket_opens_one_websocket_once(
    guarded: Live, alice: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    first, second = opened(alice), opened(alice)
    ticket = alice.post(f"/v1/sessions/{first}/ticket")
    assert ticket.status_code == 201
    told = ticket.json()
    with connect(guarded.ws_url + told["stream_url"]) as socket:
        assert json.loads(socket.recv())["session_id"] == first
    other = alice.post(f"/v1/sessions/{first}/ticket").json()["ticket"]
    for address in (told["stream_url"], f"/v1/sessions/{second}/stream?ticket={other}", told["watch_url"]):
        with pytest.raises(websockets.InvalidStatus) as refused, connect(guarded.ws_url + address):
            pass
        assert json.loads(refused.value.response.body)["code"] == "key_unknown"
    assert "accepted" in caplog.text, "addresses are logged"
    assert "without completing handshake" not in caplog.text
    ours = [r for r in caplog.records if not r.name.startswith(("websockets.client", "httpx", "httpcore"))]
    logged = "\n".join(str(vars(record)) for record in ours)
    for secret in (told["ticket"], other, ALICE):
        assert secret not in logged
    for session_id in (first, second):
        alice.delete(f"/v1/sessions/{session_id}")


def test_ticket_expires(guarded: Live, alice: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = opened(alice)
    monkeypatch.setattr(spikewatch.service.auth.tickets, "TICKET_LIFETIME_S", -1.0)
    url = alice.post(f"/v1/sessions/{session_id}/ticket").json()["watch_url"]
    with pytest.raises(websockets.InvalidStatus), connect(guarded.ws_url + url):
        pass
    alice.delete(f"/v1/sessions/{session_id}")


def test_tickets_of_one_key_do_not_evict_those_of_another() -> None:
    tickets, a, b = spikewatch.service.auth.tickets.Tickets(), Principal("a", None), Principal("b", None)
    first = tickets.issue(a, "1")
    most = spikewatch.service.auth.tickets.MAX_TICKETS_PER_KEY
    few = [tickets.issue(b, "2") for _ in range(most)]
    assert all(tickets.redeem(ticket, "/v1/sessions/2/watch") is b for ticket in few)
    many = [tickets.issue(b, "2") for _ in range(most + 1)]
    assert tickets.redeem(first, "/v1/sessions/1/stream") is a
    with pytest.raises(InvalidKey):
        tickets.redeem(many[0], "/v1/sessions/2/stream")
    assert all(tickets.redeem(ticket, "/v1/sessions/2/stream") is b for ticket in many[1:])


def test_sessions_of_key_beyond_limit_are_rejected(guarded: Live, alice: httpx.Client) -> None:
    with with_key(guarded, SLOW) as slow:
        session_id = opened(slow)
        for path, content in (("sessions", b"{}"), ("detections", dat_file(1))):
            until(lambda: caller(guarded, SLOW).consume_bytes(0) == 0)
            answer = slow.post(f"/v1/{path}", content=content)
            assert problem(answer) == (429, "key_sessions")
            assert int(answer.headers["Retry-After"]) >= 1
        slow.delete(f"/v1/sessions/{session_id}")
    assert 'spikewatch_refused_total{code="key_sessions"} 2.0' in alice.get("/metrics").text
    assert alice.post("/v1/detections", content=dat_file(1)).status_code == 200


def caller(live: Live, key: str) -> Principal:
    return live.authenticator.authenticate(key, "")


def test_requests_beyond_rate_of_key_are_rejected(guarded: Live, alice: httpx.Client) -> None:
    with with_key(guarded, DEBTOR) as debtor:
        session_id = opened(debtor)
        until(lambda: caller(guarded, DEBTOR).consume_bytes(0) == 0)
        events = f"/v1/sessions/{session_id}/events"
        assert debtor.post(events, content=dat_stream(20)).status_code == 200
        for path in (events, "/v1/detections", "/v1/sessions"):
            answer = debtor.post(path)
            assert problem(answer) == (429, "key_bytes")
            assert 1 <= int(answer.headers["Retry-After"]) <= 49
        assert debtor.get(f"/v1/sessions/{session_id}").status_code == 200
        assert debtor.delete(f"/v1/sessions/{session_id}").status_code == 200
    assert 'spikewatch_refused_total{code="key_bytes"} 3.0' in alice.get("/metrics").text


def test_streams_beyond_rate_of_key_are_throttled(guarded: Live, alice: httpx.Client) -> None:
    data = dat_stream(20)
    with with_key(guarded, SLOW) as slow:
        until(lambda: caller(guarded, SLOW).consume_bytes(0) == 0)
        session_id = opened(slow)
        address = f"{guarded.ws_url}/v1/sessions/{session_id}/stream"
        start = time.monotonic()
        with connect(address, additional_headers={"X-API-Key": SLOW}) as socket:
            for at in range(0, len(data), 6000):
                socket.send(data[at : at + 6000])
            socket.send("close")
            closed = talk(socket)[-1]
        assert (closed["reason"], closed["totals"]["events"]) == ("client", 20 * 300)
        assert time.monotonic() - start > (len(data) - 20_000) / 20_000 * 0.9
    metrics = alice.get("/metrics").text.splitlines()
    (held,) = [line for line in metrics if line.startswith("spikewatch_held_back_seconds_total")]
    assert float(held.split()[1]) > 0


def test_openapi_lists_every_route(guarded: Live) -> None:
    """Routes hidden from the schema are pages; every other one is in the list that is checked above."""
    hidden = {
        route.path
        for route in guarded.app.routes
        if isinstance(route, APIRoute) and not route.include_in_schema
    }
    assert hidden <= {"/", "/viewer/demo.dat"}
