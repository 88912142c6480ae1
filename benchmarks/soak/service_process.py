"""The service as a child process that can be ended and started again at the same place."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.soak.counters import Failure

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 180.0
SINGLE_THREAD_ENV = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "SPIKEWATCH_THREADS": "1"}


@dataclass(slots=True)
class ProcessRun:
    """One process, from its start to its end, in seconds since the run began."""

    number: int
    pid: int
    ready_s: float
    ended_s: float | None = None
    how: str = ""


class ServiceProcess:
    """Starts, ends and starts again; knows whether the process that should run does."""

    def __init__(self, weights: str | None, settings: dict[str, str], folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.runs: list[ProcessRun] = []
        self.log = folder / "service.log"
        self._command = [sys.executable, "-m", "spikewatch", "serve", "--port", str(self.port)]
        self._command += ["--snapshot-dir", str(folder / "snapshots")]
        self._command += [] if weights is None else ["--weights", weights]
        self._settings = SINGLE_THREAD_ENV | settings
        self._process: subprocess.Popen[bytes] | None = None
        self._start_s = time.monotonic()

    @property
    def now_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._start_s

    @property
    def current(self) -> ProcessRun:
        """The latest."""
        return self.runs[-1]

    @property
    def ended_count(self) -> int:
        """How many processes have been ended."""
        return sum(life.ended_s is not None for life in self.runs)

    @property
    def died(self) -> bool:
        """The process has ended and nobody asked it to."""
        running = self._process is not None and self.current.ended_s is None
        return running and self._process is not None and self._process.poll() is not None

    async def start(self) -> None:
        """Start, and wait until it takes work."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=os.environ | self._settings
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as http:
            while not await self._is_ready(http):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop(signal.SIGKILL)
                    raise Failure(f"the service did not start: {self.log.read_text()[-1000:]}")
                await asyncio.sleep(0.2)
        self.runs.append(ProcessRun(len(self.runs) + 1, self._process.pid, self.now_s))

    @staticmethod
    async def _is_ready(http: httpx.AsyncClient) -> bool:
        try:
            return (await http.get("/v2/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    async def end(self, how: signal.Signals) -> None:
        """End the process by a signal."""
        self.current.ended_s, self.current.how = self.now_s, how.name
        await asyncio.to_thread(self.stop, how)

    def stop(self, how: signal.Signals) -> None:
        """Send a signal and wait."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise Failure(f"the service did not end within {STOP_TIMEOUT_S:g} s of {how.name}") from None

    def logged_errors(self) -> Iterator[str]:
        """Errors that it has logged, and whatever it said that is no log line."""
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                if "viewer and API at" not in line:
                    yield line
                continue
            if entry.get("level", "").lower() in ("error", "critical"):
                yield line[:2000]
