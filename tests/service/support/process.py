"""The service as its operator runs it: a process of its own, which can be killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[3]
START_S = 240


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Process:
    """A running `spikewatch serve`."""

    def __init__(self, arguments: list[str], settings: dict[str, str], log: Path, port: int = 0) -> None:
        self.port = port or free_port()
        code = "from spikewatch.service.cli.main import main; main()"
        settings |= {"SPIKEWATCH_PORT": str(self.port), "SPIKEWATCH_MAX_BATCH": "2"}
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, "serve", *arguments],
                cwd=ROOT,
                env=os.environ | settings,
                stdout=out,
                stderr=out,
            )
        self._log = log
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=START_S)
        self._wait()

    def stream(self, session_id: str, **place: int) -> str:
        query = "&".join(f"{k}={v}" for k, v in place.items())
        return f"ws://127.0.0.1:{self.port}/v1/sessions/{session_id}/stream?{query}"

    def kill(self) -> None:
        """SIGKILL: nothing of the process runs any more."""
        self._process.kill()
        self._process.wait(START_S)

    def terminate(self) -> None:
        """SIGTERM, as a supervisor stops it; uvicorn stops in order, then ends by the same signal."""
        self._process.terminate()
        assert self._process.wait(START_S) in (0, -signal.SIGTERM)

    def close(self) -> None:
        self.http.close()
        if self._process.poll() is None:
            self.kill()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self.http.get("/v2/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        self.close()
        raise AssertionError(f"the service did not start: {self._log.read_text()[-2000:]}")


@contextmanager
def process(arguments: list[str], settings: dict[str, str], log: Path, port: int = 0) -> Iterator[Process]:
    running = Process(arguments, settings, log, port)
    try:
        yield running
    finally:
        running.close()
