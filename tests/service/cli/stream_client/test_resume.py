"""`spikewatch stream` whose service or connection goes away: all windows, each once, or a status but 0."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.raw import RawRecording
from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.service.cli.stream_client.player import PacedRecording
from spikewatch.service.client.retry import RetryBudget
from spikewatch.service.client.session import RemoteSession, make_http
from spikewatch.service.client.stream import ResumableStream
from spikewatch.service.inference.window_result import WindowOptions
from tests.service.support.live import SENSOR, Live, comparable, dat_file, live_service
from tests.service.support.offline import offline_windows
from tests.service.support.process import Process, free_port, process
from tests.service.support.relay import relay

pytestmark = pytest.mark.slow

SCRIPT = Path(sys.executable).with_name("spikewatch")
SLICES = 80
OPTIONS = WindowOptions(window_slices=4, hop=1, confidence=0.001, iou=0.45)
LIMIT_S = 120.0
Start = Callable[..., Any]
Windows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def weights(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_checkpoint(path, detector.network, detector.spec)
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "street_td.dat"
    path.write_bytes(dat_file(SLICES))
    return path


@pytest.fixture(scope="module")
def expected(weights: Path, recording: Path) -> Windows:
    """Windows of a run without a service."""
    return offline_windows(recording, weights, OPTIONS)


@pytest.fixture
def start(weights: Path, tmp_path: Path) -> Start:
    """Starts the service, always at the same port."""
    settings, port = {"SPIKEWATCH_SNAPSHOT_EVERY_S": "0.3"}, free_port()
    return lambda *more: process(["--weights", str(weights), *more], dict(settings), tmp_path / "log", port)


class Client:
    """A running `spikewatch stream`."""

    def __init__(self, recording: Path, url: str, folder: Path, *options: object) -> None:
        self._out, self._err = folder / "out", folder / "err"
        command = [SCRIPT, "stream", recording, "--url", url, "--json", *options]
        command += ["--policy", "block", "--hop", 1, "--confidence", 0.001]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=err)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.read_text().splitlines(True) if line.endswith("\n")]

    @property
    def errors(self) -> list[str]:
        return self._err.read_text().splitlines()

    def count(self, kind: str) -> int:
        return sum(message["type"] == kind for message in self.messages)

    def wait_for(self, begun: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not begun():
            assert self._process.poll() is None, self.errors
            assert time.monotonic() < deadline, self.errors
            time.sleep(0.02)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        return self._process.wait(LIMIT_S)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(120)


@contextmanager
def client(*arguments: Any) -> Iterator[Client]:
    running = Client(*arguments)
    try:
        yield running
    finally:
        running.close()


def check_whole(played: Client, expected: Windows) -> None:
    """All windows, each once, between one `ready` and one `closed`."""
    messages = [m for m in played.messages if m["type"] not in ("saved", "idle_warning")]
    assert [m["type"] for m in messages] == ["ready", *["window"] * len(expected), "closed"]
    assert comparable(messages[1:-1]) == expected
    assert messages[-1]["reason"] == "client"
    assert messages[-1]["totals"]["windows"] == len(expected)


@pytest.mark.parametrize("how", [Process.kill, Process.terminate], ids=["SIGKILL", "SIGTERM"])
def test_a_service_that_is_restarted(
    start: Start,
    recording: Path,
    tmp_path: Path,
    expected: Windows,
    how: Callable[[Process], None],
) -> None:
    saved = ("--snapshot-dir", str(tmp_path / "saved"))
    with start(*saved) as service:
        url = str(service.http.base_url)
        with client(recording, url, tmp_path, "--reconnect-s", LIMIT_S) as played:
            played.wait_for(lambda: played.count("saved") > 0 and played.count("window") > 10)
            how(service)
            with start(*saved) as again:
                status = played.end()
                assert (status, len(played.errors)) == (0, 1), played.errors
                assert again.http.get("/v1/sessions").json()["sessions"] == []
            assert "trying again for 120 s" in played.errors[0]
            check_whole(played, expected)


def test_a_service_that_is_restarted_without_snapshots(start: Start, recording: Path, tmp_path: Path) -> None:
    patience = ("--reconnect-s", LIMIT_S)
    with start() as service, client(recording, service.http.base_url, tmp_path, *patience) as played:
        played.wait_for(lambda: played.count("window") > 4)
        service.kill()
        with start():
            assert played.end() == 1
        assert "the session is lost, without a snapshot" in played.errors[-1]
        assert len(played.errors) == 2


@pytest.mark.parametrize(("limit_s", "words"), [(1.5, "gave up after 1.5 s"), (0, "broke")])
def test_a_service_that_stays_away(
    start: Start, recording: Path, tmp_path: Path, limit_s: float, words: str
) -> None:
    with (
        start() as service,
        client(recording, service.http.base_url, tmp_path, "--reconnect-s", limit_s) as played,
    ):
        played.wait_for(lambda: played.count("window") > 0)
        service.kill()
        began_s = time.monotonic()
        assert played.end() == 1
        assert time.monotonic() - began_s < limit_s + 60
        assert words in played.errors[-1]
        assert len(played.errors) == (2 if limit_s else 1)


def test_ctrl_c_without_a_connection(start: Start, recording: Path, tmp_path: Path) -> None:
    with start() as service, client(recording, service.http.base_url, tmp_path) as played:
        played.wait_for(lambda: played.count("window") > 0)
        service.kill()
        played.wait_for(lambda: bool(played.errors))
        played.interrupt()
        assert played.end() == 130
        assert "without a connection" in played.errors[-1]


def test_a_connection_that_is_cut_again_and_again(
    detector: Detector, recording: Path, tmp_path: Path, expected: Windows
) -> None:
    with (
        live_service(detector, outbox_windows=16) as live,
        relay(live.port) as way,
        client(recording, way.url, tmp_path) as played,
    ):
        for seen in (5, 25, 45):
            played.wait_for(lambda seen=seen: played.count("window") > seen)
            way.cut()
        assert played.end() == 0, played.errors
        assert len(played.errors) == 3
        check_whole(played, expected)


def test_a_service_that_ends_the_session(detector: Detector, recording: Path, tmp_path: Path) -> None:
    with live_service(detector) as stopping, client(recording, stopping.url, tmp_path) as played:
        played.wait_for(lambda: played.count("window") > 4)
        stopping.stop()
        assert played.end() == 1
        assert played.messages[-1]["reason"] == "shutdown"
        assert played.errors == ["spikewatch: the service ended the session (shutdown): the service stops"]


def test_a_session_that_ends_as_idle(detector: Detector, recording: Path, tmp_path: Path) -> None:
    quick = partial(live_service, detector, idle_timeout_s=0.5, idle_warning_s=0.1)
    with quick() as hasty, client(recording, hasty.url, tmp_path, "--speed", 0.001) as played:
        assert played.end() == 1
        assert played.messages[-1]["reason"] == "idle_timeout"
        assert len(played.errors) == 1


class Damaged(RawRecording):
    """Cannot be read to its end."""

    def chunks(self, max_events: int = 1000) -> Iterator[Events]:
        yield next(super().chunks(max_events))
        raise FormatError("damaged from here on")


def test_a_recording_that_cannot_be_read_is_not_tried_again(live: Live, recording: Path) -> None:
    async def play() -> None:
        async with make_http(None) as http:
            session = RemoteSession(http, live.url)
            await session.open({"format": "dat"} | SENSOR)
            with Damaged(recording, "dat", None, None) as damaged:
                feed = PacedRecording(damaged, 0, asyncio.Event())
                await ResumableStream(session, feed, lambda _message: None, RetryBudget(0.5)).run()

    with pytest.raises(FormatError, match="damaged from here on"):
        asyncio.run(play())
