"""`spikewatch.Client` while the service is killed and started again: all windows, each once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.service.client.client import Client
from spikewatch.service.client.messages import Message
from spikewatch.service.errors import SessionClosed
from spikewatch.service.inference.window_result import WindowOptions
from tests.service.support.live import SENSOR, comparable, dat_file, dat_stream
from tests.service.support.offline import offline_windows
from tests.service.support.process import Process, free_port, process

pytestmark = pytest.mark.slow

SLICES = 60
SESSION = {"format": "dat", **SENSOR, "slices": 4, "hop": 1, "confidence": 0.001}


@pytest.fixture(scope="module")
def weights(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_checkpoint(path, detector.network, detector.spec)
    return path


def live_pieces() -> Iterator[bytes]:
    data = dat_stream(SLICES)
    for start in range(0, len(data), 2400):
        time.sleep(0.06)
        yield data[start : start + 2400]


def start(weights: Path, folder: Path, port: int, *more: str) -> Process:
    settings = {"SPIKEWATCH_SNAPSHOT_EVERY_S": "0.3"}
    return Process(["--weights", str(weights), *more], settings, folder / "log", port)


def test_session_outlives_a_killed_service(weights: Path, tmp_path: Path) -> None:
    recording = tmp_path / "street_td.dat"
    recording.write_bytes(dat_file(SLICES))
    expected = offline_windows(recording, weights, WindowOptions(4, 1, 0.001, 0.45))
    port, saved = free_port(), ("--snapshot-dir", str(tmp_path / "saved"))
    service = start(weights, tmp_path, port, *saved)
    found: list[Message] = []
    try:
        with (
            Client(f"http://127.0.0.1:{port}", reconnect_s=120) as client,
            client.session(**SESSION) as session,
        ):
            for window in session.stream(live_pieces()):
                found.append(window)
                if len(found) == 25:
                    service.close()
                    service = start(weights, tmp_path, port, *saved)
    finally:
        service.close()
    assert comparable([dict(window) for window in found]) == expected
    assert session.totals is not None
    assert session.totals["windows"] == len(expected)


def test_session_without_snapshots_is_lost(weights: Path, tmp_path: Path) -> None:
    port = free_port()
    with process(["--weights", str(weights)], {}, tmp_path / "log", port) as service:

        def run() -> None:
            with (
                Client(f"http://127.0.0.1:{port}", reconnect_s=120) as client,
                client.session(**SESSION) as session,
            ):
                for n, _ in enumerate(session.stream(live_pieces())):
                    if n == 5:
                        service.kill()
                        restarted.append(start(weights, tmp_path, port))

        restarted: list[Process] = []
        try:
            with pytest.raises(SessionClosed, match="the session is lost, without a snapshot"):
                run()
        finally:
            for again in restarted:
                again.close()
