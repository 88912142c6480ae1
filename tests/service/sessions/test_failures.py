"""Injected faults: the error that the client receives, other sessions, and resources left behind."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import websockets
from fastapi.routing import APIRoute, APIWebSocketRoute
from safetensors.torch import load, save
from websockets.sync.client import connect

from spikewatch.model.detector import Detector
from spikewatch.service.api import viewer
from spikewatch.service.inference.sources import LiveSource
from tests.service.support.http_client import problem
from tests.service.support.live import Live, comparable, dat_file, dat_stream, live_service, talk, upload
from tests.service.support.snapshots import saved_meta
from tests.service.support.streams import post
from tests.service.support.waiting import until

LOW = {"confidence": 0.001}
SECRET = "/srv/secret/weights.safetensors is missing in <Engine object at 0x7f>"


@pytest.fixture
def broken(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """A service whose routes all fail. Routes have no parameters, so that no request is rejected before."""
    with live_service(detector) as live:
        for route in all_routes(live.app.router.routes):
            monkeypatch.setattr(route.endpoint, "__code__", fail.__code__)
        monkeypatch.setattr(viewer.viewer_files, "get_response", lambda *_: fail())
        yield live
        monkeypatch.undo()


def all_routes(routes: Any) -> Iterator[APIRoute | APIWebSocketRoute]:
    for route in routes:
        if isinstance(route, APIRoute | APIWebSocketRoute):
            yield route
        else:
            yield from all_routes(getattr(getattr(route, "original_router", None), "routes", ()))


async def fail() -> None:
    raise RuntimeError(SECRET)


def requests(live: Live) -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for route in all_routes(live.app.router.routes)
        if isinstance(route, APIRoute)
        for method in route.methods
    ]


def test_failing_route_reveals_no_internals(broken: Live) -> None:
    failing = [*requests(broken), ("GET", "/viewer/main.js")]
    assert len(failing) > 15
    for method, path in failing:
        answer = broken.http.request(method, path.format(session_id="x", job_id="x", name="y"), content=b"{}")
        assert answer.status_code == 500, (method, path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json", (method, path)
        if method != "HEAD":
            assert answer.json()["code"] == "internal"
            for word in ("secret", "Traceback", "RuntimeError", ".py", "Engine"):
                assert word not in answer.text
    assert broken.manager.metrics.refused.labels("internal")._value.get() == len(failing)


def test_failing_websocket_reveals_no_internals(broken: Live) -> None:
    for path in ("stream", "watch"):
        with (
            pytest.raises(websockets.InvalidStatus) as refused,
            connect(f"{broken.ws_url}/v1/sessions/x/{path}"),
        ):
            pass
        response = refused.value.response
        assert response.status_code == 500
        assert json.loads(response.body)["code"] == "internal"
        assert b"secret" not in response.body


def raising(*_: object, **__: object) -> Any:
    raise RuntimeError(SECRET)


@contextmanager
def failing(owner: object, name: str) -> Iterator[None]:
    """Make a method of an object fail."""
    setattr(owner, name, raising)
    yield
    delattr(owner, name)


def neighbours(live: Live, sick: str, data: bytes, hurt: Callable[[], None]) -> dict[str, httpx.Response]:
    """Run two sessions in the same batches, one broken before the first; return both responses."""
    manager = live.manager
    well = live.open(**LOW)
    hurt()
    held = threading.Event()
    manager.models.default.submit(lambda _: held.wait(120))
    answers: dict[str, httpx.Response] = {}

    def run(name: str, session_id: str) -> None:
        answers[name] = post(live, session_id, data)

    threads = [threading.Thread(target=run, args=item) for item in (("sick", sick), ("well", well))]
    for thread in threads:
        thread.start()
    until(lambda: len(manager.get(well).inbox) >= 4)
    held.set()
    for thread in threads:
        thread.join()
    answers["rest"] = live.http.delete(f"/v1/sessions/{well}")
    return answers


def check_well(live: Live, answers: dict[str, httpx.Response]) -> None:
    """Check that the other session is unaffected and every slot is reset."""
    expected = comparable(upload(live, dat_file(8), **LOW)[0])
    windows = answers["well"].json()["windows"] + answers["rest"].json()["windows"]
    assert comparable(windows) == expected
    for _ in range(live.manager.settings.max_sessions):
        assert comparable(upload(live, dat_file(8), **LOW)[0]) == expected
    assert "secret" not in answers["sick"].text


def ended_reason(live: Live, session_id: str) -> str:
    answer = live.http.get(f"/v1/sessions/{session_id}")
    assert problem(answer) == (410, "session_closed")
    detail: str = answer.json()["detail"]
    return detail.split("(")[1].split(")")[0]


def test_failing_decoder_ends_its_session_only(live: Live) -> None:
    sick = live.open(**LOW)
    source = live.manager.get(sick).source
    answers = neighbours(live, sick, dat_stream(8), lambda: setattr(source, "feed", raising))
    assert problem(answers["sick"]) == (500, "internal")
    assert ended_reason(live, sick) == "internal"
    check_well(live, answers)


def test_unpublishable_result_ends_its_session_only(live: Live) -> None:
    """The failure comes after the whole batch was run, while its results are published."""
    sick = live.open(**LOW)
    session = live.manager.get(sick)
    answers = neighbours(live, sick, dat_stream(8), lambda: setattr(session, "emit", raising))
    assert problem(answers["sick"]) == (500, "step_failed")
    assert ended_reason(live, sick) == "step_failed"
    check_well(live, answers)


@pytest.mark.parametrize(("value", "status"), [(np.nan, 409), (np.inf, 409), (-np.inf, 409), (3e38, 200)])
def test_non_finite_state_affects_its_session_only(live: Live, value: float, status: int) -> None:
    """Values that are not finite are rejected; huge values affect only the session that restored them."""
    source, sick = live.open(**LOW), live.open(**LOW)
    post(live, source, dat_stream(2))
    data = live.http.get(f"/v1/sessions/{source}/state").content
    live.http.delete(f"/v1/sessions/{source}")
    tensors = {
        name: tensor * 0 + value if name.startswith("state.") else tensor
        for name, tensor in load(data).items()
    }
    poison = save(tensors, {"session": json.dumps(saved_meta(data))})
    restored = live.http.put(f"/v1/sessions/{sick}/state", content=poison)
    assert restored.status_code == status, restored.text
    answers = neighbours(live, sick, dat_stream(8), lambda: None)
    assert "NaN" not in answers["sick"].text
    rest = live.http.delete(f"/v1/sessions/{sick}")
    check_well(live, answers)
    if status == 409:
        assert restored.json()["code"] == "snapshot_mismatch"
        windows = answers["sick"].json()["windows"] + rest.json()["windows"]
        assert comparable(windows) == comparable(upload(live, dat_file(8), **LOW)[0])


def test_restore_failing_halfway_ends_the_session(live: Live) -> None:
    session_id = live.open()
    post(live, session_id, dat_stream(2))
    data = live.http.get(f"/v1/sessions/{session_id}/state").content
    with failing(live.model.engine.bank, "scatter"):
        answer = live.http.put(f"/v1/sessions/{session_id}/state", content=data)
    assert problem(answer) == (500, "internal")
    assert ended_reason(live, session_id) == "internal"


def test_websocket_receives_error_of_failing_decoder(live: Live) -> None:
    session_id = live.open()
    socket = live.connect(session_id)
    live.manager.get(session_id).source.feed = raising
    socket.send(dat_stream(2))
    messages = talk(socket)
    assert [m["type"] for m in messages] == ["error", "closed"]
    assert (messages[0]["code"], messages[1]["reason"]) == ("internal", "internal")
    assert "secret" not in json.dumps(messages)
    assert socket.close_code == 1011
    assert ended_reason(live, session_id) == "internal"


def test_websocket_receives_error_of_unsendable_results(live: Live) -> None:
    session_id = live.open(slices=1, hop=1)
    socket = live.connect(session_id)
    live.manager.get(session_id).to_json = raising
    socket.send(dat_stream(3))
    messages = talk(socket)
    assert [m["type"] for m in messages] == ["error", "closed"]
    assert messages[1]["reason"] == "internal"
    assert socket.close_code == 1011


def test_watcher_receives_error_of_a_fault(live: Live) -> None:
    session_id = live.open(slices=1, hop=1)
    with connect(f"{live.ws_url}/v1/sessions/{session_id}/watch") as socket:
        session = live.manager.get(session_id)
        until(lambda: len(session.watchers) == 1)
        session.watchers.publish(live_result(session))
        talk(socket)
        assert (socket.close_code, socket.close_reason) == (1011, "internal")
    assert live.http.delete(f"/v1/sessions/{session_id}").status_code == 200


def live_result(session: Any) -> Any:
    """Return a result without any field."""
    from spikewatch.service.inference.window_result import WindowResult

    return object.__new__(WindowResult)


def test_upload_with_failing_decoder_ends_with_problem(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    fed = LiveSource.feed

    def feed(self: LiveSource, data: bytes) -> Any:
        yield from fed(self, data)
        raise RuntimeError(SECRET)

    monkeypatch.setattr(LiveSource, "feed", feed)
    answer = live.http.post("/v1/detections", content=dat_file(8))
    assert '"code":"internal"' in answer.text.replace(" ", "")
    assert "secret" not in answer.text
    assert live.metric('spikewatch_sessions_ended_total{reason="internal"}') >= 1
    monkeypatch.undo()
    assert upload(live, dat_file(8))[1]["windows"] == 2


def test_paths_and_urls_of_clients_are_not_opened(live: Live, tmp_path: Path) -> None:
    """Every text that a client can send is a path or a URL here; none of them is read."""
    canary = tmp_path / "canary"
    canary.write_bytes(dat_file(4))
    opened: list[str] = []
    watching = True

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in ("open", "os.listdir", "socket.getaddrinfo") and "canary" in str(arguments):
            opened.append(f"{event}{arguments}")

    sys.addaudithook(look)
    for text in (str(canary), canary.as_uri(), "http://canary.invalid/x", f"../../..{canary}", f"..{canary}"):
        for field in ("weights", "format", "policy", "window", "width", "slice_us", "model", "path", "url"):
            assert live.http.post("/v1/sessions", json={field: text}).status_code in (404, 422)
            if field != "policy":
                answer = live.http.post("/v1/detections", params={field: text}, content=dat_file(1))
                assert answer.status_code in (404, 422)
        for path in ("/v1/sessions/{}", "/v1/sessions/{}/state", "/v2/models/{}", "/viewer/{}", "/{}"):
            assert live.http.get(path.format(text)).status_code in (404, 405)
        for name in ("Content-Location", "X-Forwarded-Host", "Host", "Referer", "X-Original-URL"):
            live.http.post("/v1/detections", content=text.encode(), headers={name: text})
    watching = False
    assert opened == []
