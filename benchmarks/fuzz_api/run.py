"""One run of schemathesis against a service of its own, and its report."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak.service_process import ServiceProcess

HOOKS = Path(__file__).with_name("hooks.py")
CONFIG = Path(__file__).with_name("schemathesis.toml")
PHASES = ("coverage,fuzzing", "stateful")
"""Half of the time each: requests for themselves, and chains of requests along the links."""

SETTINGS = {"SPIKEWATCH_IDLE_TIMEOUT_S": "5"}
START_S = 120
"""Upper bound of what schemathesis needs to start and to finish a request, also on a busy machine."""


@dataclass(frozen=True, slots=True)
class ApiFuzzReport:
    """Result of one run.

    Attributes:
        requests: requests sent.
        links: links of the description that requests followed.
        opened: sessions opened, by requests and uploads.
        seconds: of schemathesis.
        peak_mb: largest resident memory of the service.
        findings: failed checks, errors in the service's log, and the service's death.
        log: output of schemathesis.
    """

    requests: int
    links: int
    opened: int
    seconds: float
    peak_mb: int
    findings: list[str]
    log: str


def fuzz_api(seconds: int, folder: Path, seed: int | None = None) -> ApiFuzzReport:
    """Start a service, send requests for a time, and report; files are written to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_run(seconds, folder, seed))


async def _run(seconds: int, folder: Path, seed: int | None) -> ApiFuzzReport:
    service = ServiceProcess("untrained", SETTINGS, folder)
    await service.start()
    findings, logs, started_s = [], [], time.monotonic()
    try:
        for phases in PHASES:
            tried = await asyncio.to_thread(_schemathesis, service.url, phases, seconds // 2, folder, seed)
            logs.append(tried.stdout.decode("utf-8", "replace"))
            if tried.returncode:
                findings.append(f"{phases}: schemathesis ended with {tried.returncode}")
        took_s = time.monotonic() - started_s
        if service.died:
            findings.append("the service died")
        peak_mb = _peak_mb(service.current.pid)
    finally:
        await service.end(signal.SIGTERM)
    findings += service.logged_errors()
    opened = service.log.read_text(errors="replace").count('"session opened"')
    log = "\n".join(logs)
    requests, links = _sum(log, r"(\d+) generated"), _sum(log, r"API Links: +(\d+) covered")
    return ApiFuzzReport(requests, links, opened, took_s, peak_mb, findings, log)


def _schemathesis(
    url: str, phases: str, seconds: int, folder: Path, seed: int | None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "--no-color"]
    command += ["run", f"{url}/openapi.json", "--phases", phases, "--max-time", str(seconds)]
    command += [] if seed is None else ["--seed", str(seed)]
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS)},
        cwd=folder,
        timeout=seconds + START_S,
        check=False,
    )


def _sum(log: str, pattern: str) -> int:
    return sum(map(int, re.findall(pattern, log)))


def _peak_mb(pid: int) -> int:
    """Return the largest resident memory of a process; 0 without /proc, or if the process has ended."""
    status = Path(f"/proc/{pid}/status")
    return _sum(status.read_text(), r"VmHWM:\s+(\d+)") // 1024 if status.exists() else 0
