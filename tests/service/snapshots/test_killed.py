"""SIGKILL in mid-stream: the service, started again, gives all windows of a run without it."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.service.inference.window_result import WindowOptions
from tests.service.support.live import comparable, dat_file, talk
from tests.service.support.offline import offline_windows
from tests.service.support.process import Process, process

pytestmark = pytest.mark.slow

SLICES = 40
OPTIONS = WindowOptions(window_slices=4, hop=1, confidence=0.001, iou=0.45)
Start = Callable[[], Any]


@pytest.fixture(scope="module")
def weights(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_checkpoint(path, detector.network, detector.spec)
    return path


@pytest.fixture(scope="module")
def expected(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Windows of a run without a service."""
    path = tmp_path_factory.mktemp("recording") / "recording.dat"
    path.write_bytes(dat_file(SLICES))
    return offline_windows(path, weights, OPTIONS)


@pytest.fixture
def start(weights: Path, tmp_path: Path) -> Start:
    arguments = ["--weights", str(weights), "--snapshot-dir", str(tmp_path / "saved")]
    return lambda: process(arguments, {"SPIKEWATCH_SNAPSHOT_EVERY_S": "0.3"}, tmp_path / "log")


class Client:
    """Sends a recording piece by piece, and keeps each window once, whatever becomes of the service."""

    def __init__(self, data: bytes, piece: int) -> None:
        self.data, self.piece = data, piece
        self.windows: list[dict[str, Any]] = []
        self.saved_bytes = 0

    def open(self, service: Process) -> None:
        wanted = {
            "session_id": "cam",
            "slices": OPTIONS.window_slices,
            "hop": OPTIONS.hop,
            "confidence": 0.001,
        }
        answer = service.http.post("/v1/sessions", json=wanted)
        assert answer.status_code == 201, answer.text

    def resume(self, service: Process) -> int:
        """Go on after a restart; gives the offset from which to send again."""
        gone = service.http.get("/v1/sessions/cam")
        assert (gone.status_code, gone.json()["resumable"]) == (410, True)
        answer = service.http.post("/v1/sessions", json={"resume": "cam"})
        assert answer.status_code == 201, answer.text
        accepted: int = answer.json()["accepted_bytes"]
        assert accepted >= self.saved_bytes, "no more is lost than came since the last snapshot"
        return accepted

    def play(self, service: Process, offset: int, upto: int) -> ClientConnection:
        """Send what lies between two offsets, and listen on the way."""
        socket = connect(
            service.stream("cam", offset=offset, seq=len(self.windows)),
            compression=None,
            max_size=None,
            legacy=True,
        )
        assert json.loads(socket.recv())["accepted_bytes"] == offset
        for at in range(offset, upto, self.piece):
            socket.send(self.data[at : min(at + self.piece, upto)])
            self.listen(socket)
        return socket

    def listen(self, socket: ClientConnection, patience_s: float = 0.05) -> None:
        try:
            while True:
                self.take(json.loads(socket.recv(timeout=patience_s)))
        except (TimeoutError, ConnectionClosed):
            return

    def take(self, message: dict[str, Any]) -> None:
        if message["type"] == "window":
            self.windows.append(message)
        elif message["type"] == "saved":
            self.saved_bytes = message["accepted_bytes"]


def test_results_are_complete_after_two_kills(start: Start, expected: list[dict[str, Any]]) -> None:
    client = Client(dat_file(SLICES), piece=1501)  # pieces end within records and slices
    total, offset = len(client.data), 0
    for round, upto in enumerate((total // 3, 2 * total // 3)):
        with start() as service:
            if round == 0:
                client.open(service)
            else:
                offset = client.resume(service)
            socket = client.play(service, offset, upto)
            deadline = time.monotonic() + 30
            before = client.saved_bytes
            while client.saved_bytes == before == 0 and time.monotonic() < deadline:
                client.listen(socket, 0.3)
            socket.send(client.data[upto : upto + 700])
            service.kill()
            client.listen(socket)
            assert client.saved_bytes > 0
    with start() as service:
        offset = client.resume(service)
        assert offset < 2 * total // 3 + 700
        socket = client.play(service, offset, total)
        socket.send("close")
        for message in talk(socket):
            client.take(message)
        assert service.http.post("/v1/sessions", json={"resume": "cam"}).status_code == 410
        service.terminate()
    assert comparable(client.windows) == expected


def test_no_byte_is_resent_after_graceful_stop(start: Start, expected: list[dict[str, Any]]) -> None:
    client = Client(dat_file(SLICES), piece=5003)
    total = len(client.data)
    with start() as service:
        client.open(service)
        socket = client.play(service, 0, total // 2)
        service.terminate()
        messages = talk(socket)
        for message in messages:
            client.take(message)
        assert (messages[-1]["reason"], messages[-1]["resumable"]) == ("shutdown", True)
        assert messages[-1]["saved_bytes"] == total // 2
    with start() as service:
        assert client.resume(service) == total // 2
        socket = client.play(service, total // 2, total)
        socket.send("close")
        for message in talk(socket):
            client.take(message)
    assert comparable(client.windows) == expected
