"""Work that a request or an upload may cause, however few bytes it has, and whom it may delay."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.sessions.feeder import SliceFeeder
from tests.service.support.http_client import problem
from tests.service.support.live import Live, dat_stream, live_service
from tests.service.support.shared import SharedServices
from tests.service.support.streams import post
from tests.service.support.uploads import as_hdf5, lines, send
from tests.service.support.waiting import until

LIMIT = 40
MS = {"slice_us": 1000, "slices": 1, "hop": 1}


@pytest.fixture(scope="module")
def live(detector: Detector) -> Iterator[Live]:
    limits = {"max_slices_per_post": LIMIT, "max_slices_per_upload": LIMIT, "upload_threads": 1}
    with live_service(detector, **limits) as service:
        yield service


@contextmanager
def stuck(live: Live) -> Iterator[None]:
    """The worker thread computes nothing until the block ends."""
    release = threading.Event()
    live.manager.models.worker.submit(lambda: release.wait(120))
    try:
        yield
    finally:
        release.set()


def two_events(seconds: float) -> bytes:
    """16 bytes: an event, and another one after a pause."""
    return bytes(8) + int(seconds * 1e6).to_bytes(4, "little") + bytes(4)


def test_few_bytes_with_many_slices_end_the_session(live: Live) -> None:
    session_id = live.open(**MS)
    answer = post(live, session_id, two_events(9))
    assert problem(answer) == (413, "too_large")
    assert len(answer.json()["windows"]) == LIMIT
    assert live.http.get(f"/v1/sessions/{session_id}").json()["reason"] == "too_large"


def test_slice_limit_applies_to_each_request_alone(live: Live) -> None:
    session_id = live.open(**MS)
    first = post(live, session_id, two_events(0.02))
    second = post(live, session_id, (50_000).to_bytes(4, "little") + bytes(4))
    assert [len(answer.json()["windows"]) for answer in (first, second)] == [20, 30]
    assert live.http.delete(f"/v1/sessions/{session_id}").status_code == 200


def test_upload_with_too_many_slices_fails_after_their_results(live: Live) -> None:
    windows, last = lines(send(live, two_events(9), format="dat", width=90, height=60, slice_us=1000))
    assert len(windows) == LIMIT
    assert last["error"]["code"] == "too_large"


def test_post_whose_client_left_frees_its_session(services: SharedServices) -> None:
    live = services(inbox_slices=4)
    session = live.manager.get(live.open(**MS))
    with stuck(live), socket.create_connection(("127.0.0.1", live.port)) as raw:
        head = f"POST /v1/sessions/{session.id}/events HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n"
        raw.sendall(head.encode() + two_events(0.05))
        until(lambda: len(session.inbox) == 4)
        raw.close()
        until(lambda: not session.feed_lease.held)
    until(lambda: len(session.inbox) == 0)
    assert session.accepted_bytes == 16
    assert session.current_totals().windows < 10
    # the remaining slices of the accepted bytes come first in the next request
    windows = post(live, session.id, b"", offset=16, seq=0).json()["windows"]
    assert [window["seq"] for window in windows] == list(range(50))


def test_busy_upload_threads_do_not_delay_sessions(live: Live, tmp_path: Path) -> None:
    release = threading.Event()
    busy = live.manager.upload_pool.submit(release.wait)
    answers: list[object] = []
    uploading = threading.Thread(target=lambda: answers.append(lines(send(live, as_hdf5(tmp_path, 2)))))
    uploading.start()
    try:
        session_id = live.open(slices=1)
        assert len(post(live, session_id, dat_stream(3)).json()["windows"]) == 2
        live.http.delete(f"/v1/sessions/{session_id}")
        assert not answers
    finally:
        release.set()
        uploading.join()
    assert busy.result()
    assert answers


def test_source_without_slices_shares_its_thread() -> None:
    stopped = threading.Event()

    def endless() -> Iterator[None]:
        while not stopped.is_set():
            yield None

    async def put(_slice: InputSlice) -> None:
        raise AssertionError

    async def run(pool: ThreadPoolExecutor) -> None:
        slow = SliceFeeder(lambda _: pytest.fail("no slice"), put, pool)
        quick = SliceFeeder(lambda _: pytest.fail("no slice"), put, pool)
        task = asyncio.create_task(slow.feed(endless()))
        await quick.feed(iter([None, None]))
        assert not task.done()
        stopped.set()
        await task

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(run(pool))
