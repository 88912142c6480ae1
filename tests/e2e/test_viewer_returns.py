"""The viewer in a real browser, while its service is stopped or killed, and sessions end and come back."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from spikewatch.service.auth.keys import make_key
from tests.e2e.support.chromium import Page
from tests.e2e.support.viewer import LIMIT_S, click, enter_key, text, visit, wait_for_text
from tests.service.support.process import Process, free_port, process

STREET = (Path(__file__).parents[2] / "service" / "assets" / "street_td.dat").read_bytes()
HEADER_BYTES = STREET.index(b"\n\x00\x08") + 3
TIMES_US = np.frombuffer(STREET[HEADER_BYTES:], "<u4")[::2]
SLICE_US, SLICES = 50_000, 60
OPTIONS = {"session_id": "cam", "hop": 1, "track": True}
DOWN_S = 3.0
CLOSE_S = 0.5
"""Results are not read here, so the answer to a closing connection would be waited for in vain."""
BUTTON = "document.querySelector('#sessions [data-session=cam]')"
MOMENTS = "(line => line.ariaValueMax - line.ariaValueMin + 1)(document.querySelector('.timeline'))"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium in PATH"),
]


def offset_at(slices: int) -> int:
    """Where the records of these first slices end."""
    return HEADER_BYTES + 8 * int(np.searchsorted(TIMES_US, slices * SLICE_US))


class Camera:
    """Sends the bundled recording to the session `cam`, at about its own rate."""

    def __init__(self, port: int, key: str) -> None:
        self._address = f"ws://127.0.0.1:{port}/v1/sessions/cam/stream"
        self._headers = {"X-API-Key": key} if key else {}
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, headers=self._headers, trust_env=False, timeout=60)

    def open(self) -> None:
        assert self.http.post("/v1/sessions", json=OPTIONS).status_code == 201

    def resume(self) -> int:
        answer = self.http.post("/v1/sessions", json={"resume": "cam"})
        assert answer.status_code == 201, answer.text
        accepted: int = answer.json()["accepted_bytes"]
        return accepted

    @contextmanager
    def connected(self) -> Iterator[ClientConnection]:
        with connect(
            self._address, additional_headers=self._headers, max_size=None, proxy=None, close_timeout=CLOSE_S
        ) as socket:
            assert json.loads(socket.recv())["type"] == "ready"
            yield socket

    def send(self, socket: ClientConnection, begin: int, slices: int) -> None:
        for number in range(1, slices + 1):
            end = offset_at(number)
            if end > begin:
                socket.send(STREET[begin:end])
                begin = end
                time.sleep(SLICE_US / 1e6)


@contextmanager
def camera_at(port: int, key: str = "") -> Iterator[Camera]:
    camera = Camera(port, key)
    with camera.http:
        yield camera


@contextmanager
def saving_service(folder: Path, port: int, key_line: str = "", **settings: str) -> Iterator[Process]:
    wanted = {"SPIKEWATCH_SNAPSHOT_DIR": str(folder / "saved"), "SPIKEWATCH_THREADS": "1", **settings}
    if key_line:
        wanted["SPIKEWATCH_API_KEYS"] = key_line
    with process([], wanted, folder / "log", port) as running:
        yield running


def slices_shown(page: Page) -> int:
    assert "not shown" not in text(page, ".tile .facts")
    return int(page.evaluate(MOMENTS))


def tiles(page: Page) -> int:
    return int(page.evaluate("document.querySelectorAll('.tile').length"))


@pytest.mark.parametrize(
    ("ending", "words"), [("terminate", "paused: the service stopped"), ("kill", "connection lost")]
)
def test_a_tile_goes_on_after_a_restart(page: Page, tmp_path: Path, ending: str, words: str) -> None:
    key, line = make_key("wall") if ending == "kill" else ("", "")
    port = free_port()
    with camera_at(port, key) as camera:
        with saving_service(tmp_path, port, line) as service:
            page.open(camera.url)
            if key:
                enter_key(page, key)
            page.wait("document.getElementById('badge')?.offsetHeight > 0", LIMIT_S)
            camera.open()
            wait_for_text(page, ".tile .status", "waiting for events")
            with camera.connected() as socket:
                camera.send(socket, 0, 20)
                wait_for_text(page, ".tile .time", "^0.95 s")
                assert camera.http.post("/v1/sessions/cam/snapshot").is_success
                camera.send(socket, offset_at(20), 30)
                wait_for_text(page, ".tile .time", "^1.45 s")
                seen = slices_shown(page)
                page.complaints.clear()
                getattr(service, ending)()
            wait_for_text(page, ".tile .status", words)
            page.screenshot(tmp_path / "gone.png")
            time.sleep(DOWN_S)
            assert (tiles(page), slices_shown(page)) == (1, seen)
        begun_s = time.monotonic()
        with saving_service(tmp_path, port, line):
            down_s = DOWN_S + time.monotonic() - begun_s
            wait_for_text(page, ".tile .status", "paused: .*; waiting for its client")
            page.screenshot(tmp_path / "paused.png")
            begin = camera.resume()
            assert (begin < offset_at(30)) == (ending == "kill")
            wait_for_text(page, ".tile .status", "waiting for events")
            with camera.connected() as socket:
                camera.send(socket, begin, SLICES)
                wait_for_text(page, ".tile .time", "^2.9")
                wait_for_text(page, ".tile .count", "car|pedestrian")
                page.screenshot(tmp_path / "returned.png")
                socket.send("close")
                wait_for_text(page, ".tile .status", "ended by its client")
            wait_for_text(page, ".tile .time", "^3.00 ")
            assert (tiles(page), slices_shown(page)) == (1, SLICES), "each slice once"
    # reset, if the page was asking at the moment of the kill
    refused = [line for line in page.complaints if re.search("ERR_CONNECTION_RE(FUS|S)E", line)]
    assert all(complaint.endswith("/v1/sessions") for complaint in refused), "tiles do not ask"
    assert len(refused) <= 3 + down_s / 6, page.complaints
    assert len(page.complaints) - len(refused) <= bool(key), page.complaints


def test_a_session_comes_back_under_its_id(page: Page, tmp_path: Path) -> None:
    port = free_port()
    patience = {"SPIKEWATCH_IDLE_TIMEOUT_S": "6", "SPIKEWATCH_IDLE_WARNING_S": "1"}
    with saving_service(tmp_path, port, **patience), camera_at(port) as camera:
        visit(page, camera.url)
        camera.open()
        wait_for_text(page, ".tile .status", "waiting for events")
        with camera.connected() as socket:
            camera.send(socket, 0, 10)
            wait_for_text(page, ".tile .status", "ended: no bytes came for too long")

        begin = camera.resume()
        wait_for_text(page, ".tile .status", "waiting for events")
        with camera.connected() as socket:
            camera.send(socket, begin, 20)
            wait_for_text(page, ".tile .time", "^0.95 s")
            socket.send("close")
            wait_for_text(page, ".tile .status", "ended by its client")
        assert (tiles(page), slices_shown(page)) == (1, 20)

        camera.open()
        wait_for_text(page, ".tile .status", "waiting for events")
        with camera.connected() as socket:
            camera.send(socket, 0, 10)
            wait_for_text(page, ".tile .time", "^0.45 s")
            assert (tiles(page), slices_shown(page)) == (1, 9), "another stream, from its begin"
            socket.send("close")
            wait_for_text(page, ".tile .status", "ended by its client")
    assert page.complaints == []


def test_what_was_taken_off_the_wall(page: Page, tmp_path: Path) -> None:
    """After it ended it comes back with its session; while it ran it does not."""
    port = free_port()
    with saving_service(tmp_path, port), camera_at(port) as camera:
        visit(page, camera.url)
        for _ in range(2):
            camera.open()
            wait_for_text(page, ".tile .status", "waiting for events")
            camera.http.delete("/v1/sessions/cam")
            wait_for_text(page, ".tile .status", "ended by its client")
            click(page, ".tile .close")
        camera.open()
        wait_for_text(page, ".tile .status", "waiting for events")
        click(page, ".tile .close")
        page.wait(f"{BUTTON}?.ariaPressed == 'false'", LIMIT_S)
        camera.http.delete("/v1/sessions/cam")
        page.wait(f"{BUTTON} === null", LIMIT_S)
        camera.open()
        page.wait(f"{BUTTON}?.ariaPressed == 'false'", LIMIT_S)
        assert tiles(page) == 0
    assert page.complaints == []


def test_what_nobody_resumes_makes_room_in_the_end(page: Page, tmp_path: Path) -> None:
    port = free_port()
    with camera_at(port) as camera:
        with saving_service(tmp_path, port) as service:
            camera.open()
            with camera.connected() as socket:
                camera.send(socket, 0, 2)
                assert camera.http.post("/v1/sessions/cam/snapshot").is_success
                service.kill()
        hurry = "(wait => window.setTimeout = (act, ms) => wait(act, ms / 10))(setTimeout)"
        page.call("Page.addScriptToEvaluateOnNewDocument", source=hurry)
        with saving_service(tmp_path, port):
            for number in range(4):
                wanted = {"session_id": f"other{number}", "width": 304, "height": 240}
                assert camera.http.post("/v1/sessions", json=wanted).status_code == 201
            visit(page, f"{camera.url}/?session=cam")
            wait_for_text(page, ".tile .status", "^paused: the service was restarted; waiting for its client")
            page.wait("document.querySelectorAll('.tile').length == 4", LIMIT_S)
            page.press("2")
            wait_for_text(page, "#measured", "other")
            page.screenshot(tmp_path / "wall.png")
            assert "Session cam" in text(page, ".wall"), "it waits for a while"
            wait_for_text(page, ".wall", "Session other3")
            assert (tiles(page), "Session cam" in text(page, ".wall")) == (4, False)
