"""Uploads for which there is no room: refused soon, and taken when their client obeys Retry-After."""

import errno
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.uploads import detection
from tests.service.support.http_client import problem
from tests.service.support.keyring import ALICE, ALICE_LINE, with_key
from tests.service.support.live import SENSOR, Live, dat_file
from tests.service.support.many import ask, many, memory_of, save, variant
from tests.service.support.shared import SharedServices
from tests.service.support.streams import LOW
from tests.service.support.uploads import as_hdf5, broken_off, lines, look, send
from tests.service.support.waiting import until

DATA = dat_file(4)


def check_taken_later(
    http: httpx.Client, code: str, free: Callable[[], object], data: bytes = DATA, **query: str
) -> None:
    """The very same request is refused, and answered in full once there is room."""

    def post() -> httpx.Response:
        return http.post("/v1/detections", content=data, params=LOW | query | {"job_id": "again"})

    for _ in range(2):
        refused = post()
        assert problem(refused)[1] == code
        assert int(refused.headers["Retry-After"]) > 0
    free()
    windows, last = lines(post())
    assert len(windows) == last["summary"]["windows"] > 0


def closing(http: httpx.Client, session_id: str) -> Callable[[], object]:
    return lambda: http.delete(f"/v1/sessions/{session_id}").raise_for_status()


def test_upload_without_free_session_is_rejected(services: SharedServices, tmp_path: Path) -> None:
    live = services(max_sessions=1)
    for data in (DATA, as_hdf5(tmp_path, 4)):
        check_taken_later(live.http, "sessions_full", closing(live.http, live.open()), data)
        live.http.delete("/v1/detections/again").raise_for_status()


def test_upload_without_free_key_session_is_rejected(services: SharedServices) -> None:
    lines_of_keys = f"{ALICE_LINE} sessions=1"
    live = services(api_keys=lines_of_keys)
    with with_key(live, ALICE) as alice:
        session_id = alice.post("/v1/sessions", json=SENSOR).json()["session_id"]
        check_taken_later(alice, "key_sessions", closing(alice, session_id))


@pytest.mark.parametrize(("code", "max_uploads"), [("uploads_full", 1), ("key_uploads", 2)])
def test_upload_beyond_upload_limits_is_rejected(
    services: SharedServices, code: str, max_uploads: int
) -> None:
    lines_of_keys = f"{ALICE_LINE} uploads=1"
    live = services(api_keys=lines_of_keys, max_uploads=max_uploads)
    with with_key(live, ALICE) as alice:
        access = live.authenticator
        with ExitStack() as others:
            others.enter_context(access.upload_slot(access.authenticate(ALICE, "")))
            check_taken_later(alice, code, others.close)


@pytest.mark.slow
def test_upload_without_model_memory_is_rejected(detector: Detector, tmp_path: Path) -> None:
    weights = save(tmp_path / "weights", a=variant("a", 2), b=variant("b", 3))
    with many(detector, weights) as live:
        enough = memory_of(live, "default", "b") + 1
    with many(detector, weights, model_memory_bytes=enough) as live:
        for data in (DATA, as_hdf5(tmp_path, 4)):
            used = ask(live, "b").json()["session_id"]
            check_taken_later(live.http, "model_memory", closing(live.http, used), data, weights="a")
            live.http.delete("/v1/detections/again").raise_for_status()
        loads = 'spikewatch_model_loads_total{model="a",outcome="no_room"}'
        assert live.metric(loads) == 2, "what is put on disk is refused before a load is tried"
        ask(live, "a").raise_for_status()
        assert send(live, data, weights="a").status_code == 200, "what is loaded needs no room"


def test_upload_beyond_spool_limit_is_rejected(services: SharedServices, tmp_path: Path) -> None:
    data = as_hdf5(tmp_path, 40)
    live = services(max_spool_bytes=len(data) + 60_000)
    broken_off(live, "other", data[:80_000], len(data))
    check_taken_later(live.http, "spool_full", lambda: live.http.delete("/v1/detections/other"), data)
    assert live.registry.spool.used_bytes == 0


@pytest.mark.parametrize("call", ["tempfile.mkdtemp", "subprocess.Popen.__init__", "pathlib.Path.open"])
def test_upload_without_disk_or_descriptors_is_rejected(
    services: SharedServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    data = as_hdf5(tmp_path, 4)

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    live = services()
    refused = live.rise('spikewatch_refused_total{code="spool_full"}')
    monkeypatch.setattr(call, fails)
    check_taken_later(live.http, "spool_full", monkeypatch.undo, data)
    assert refused() == 2
    assert live.registry.spool.used_bytes == 0


def test_second_part_without_free_session_is_rejected(services: SharedServices) -> None:
    """The part that is refused is told so as a first request is; the upload begins anew."""
    live = services(max_sessions=1)
    used = live.open()
    first = send(live, DATA[:100], job_id="parts", length=len(DATA))
    assert lines(first) == ([], {"accepted_bytes": 100})
    refused = send(live, DATA[100:], job_id="parts", length=len(DATA), offset=100)
    assert problem(refused) == (503, "sessions_full")
    assert int(refused.headers["Retry-After"]) > 0
    assert problem(live.http.get("/v1/detections/parts")) == (404, "job_unknown")
    again = send(live, DATA[100:], job_id="parts", length=len(DATA), offset=100)
    assert problem(again) == (404, "job_unknown")
    closing(live.http, used)()
    assert len(lines(send(live, DATA, job_id="parts", length=len(DATA)))[0]) == 4


def test_results_survive_a_later_rejection(services: SharedServices, monkeypatch: pytest.MonkeyPatch) -> None:
    live = services()
    broken_off(live, "late", DATA[:5000], len(DATA), format="dat")
    until(lambda: look(live, "late")["windows"] > 0)
    monkeypatch.setattr(live.manager, "draining", True)
    until(lambda: look(live, "late")["state"] == "failed")
    assert look(live, "late")["error"]["code"] == "draining"
    windows, last = lines(live.http.get("/v1/detections/late/results"))
    assert len(windows) > 0
    assert last["error"]["code"] == "draining"


def begin(live: Live, job_id: str, data: bytes, announced: int) -> socket.socket:
    """Announce a recording and send the beginning of it."""
    raw = socket.create_connection(("127.0.0.1", live.port), timeout=240)
    head = f"POST /v1/detections?job_id={job_id} HTTP/1.1\r\nHost: x\r\nX-API-Key: {ALICE}\r\n"
    raw.sendall(f"{head}Content-Length: {announced}\r\n\r\n".encode() + data)
    return raw


@pytest.mark.parametrize("code", ["sessions_full", "key_sessions", "draining"])
def test_hdf5_upload_is_rejected_before_its_body_is_read(
    services: SharedServices, tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"max_sessions": 1 if code == "sessions_full" else 2}
    keys = f"{ALICE_LINE} sessions={1 if code == 'key_sessions' else 2}"
    data = as_hdf5(tmp_path, 40)
    live = services(api_keys=keys, **limits)
    with with_key(live, ALICE) as alice:
        alice.post("/v1/sessions", json=SENSOR).raise_for_status()
        monkeypatch.setattr(live.manager, "draining", code == "draining")
        with begin(live, "early", data[:80_000], 1 << 30) as raw:
            answer = raw.makefile("rb").read()
        assert f'"code":"{code}"'.encode() in answer
        assert b"retry-after: " in answer.lower()
        assert live.registry.spool.used_bytes == 0


def test_complete_hdf5_upload_waits_for_a_session(services: SharedServices, tmp_path: Path) -> None:
    data = as_hdf5(tmp_path, 40)
    live = services(max_sessions=1)
    with begin(live, "wait", data[:80_000], len(data)) as raw:
        until(lambda: live.registry.spool.used_bytes == 80_000)
        used = live.open()
        raw.sendall(data[80_000:])
        until(lambda: look(live, "wait")["state"] == "running")
        threading.Event().wait(2.0)
        assert look(live, "wait")["state"] == "running"
        closing(live.http, used)()
        until(lambda: look(live, "wait")["state"] == "done")


def test_complete_hdf5_upload_times_out_without_session(
    services: SharedServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "ADMISSION_TIMEOUT_S", 0.2)
    data = as_hdf5(tmp_path, 40)
    live = services(max_sessions=1)
    with begin(live, "again", data[:80_000], len(data)) as raw:
        until(lambda: live.registry.spool.used_bytes == 80_000)
        used = live.open()
        raw.sendall(data[80_000:])
        assert raw.recv(65536).startswith(b"HTTP/1.1 503")
    assert live.registry.spool.used_bytes == 0
    check_taken_later(live.http, "sessions_full", closing(live.http, used), data)
