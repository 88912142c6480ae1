"""The service in a process of its own, and what a user does and reads on the viewer's page."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.e2e.support.chromium import Page

ROOT = Path(__file__).parents[3]
STREET = ROOT / "service" / "assets" / "street_td.dat"
SERVE = """
import asyncio, sys
from spikewatch.service.app import create_app
from spikewatch.service.server import make_server
from spikewatch.service.settings import Settings
settings = Settings(port=int(sys.argv[1]), threads=1, log_json=False)
asyncio.run(make_server(create_app(settings), settings).serve())
"""
UNLABELLED = """[...document.querySelectorAll(
  "button, select, input:not([hidden]), canvas, [role=slider]"
)].filter(
  element => element.offsetParent
    && !(element.ariaLabel || element.textContent.trim() || element.labels?.length)
).map(element => element.outerHTML)"""

LIMIT_S = 240.0


def visit(page: Page, url: str) -> None:
    """Open the viewer, and wait until its modules run."""
    page.open(url)
    page.wait("document.getElementById('badge')?.offsetHeight > 0", LIMIT_S)


def text(page: Page, selector: str) -> str:
    return str(page.evaluate(f"document.querySelector({selector!r}).textContent"))


def click(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector({selector!r}).click()")


def wait_for_text(page: Page, selector: str, pattern: str) -> None:
    page.wait(f"/{pattern}/.test(document.querySelector({selector!r})?.textContent)", LIMIT_S)


def enter_key(page: Page, key: str) -> None:
    page.wait("document.getElementById('key')?.open", LIMIT_S)
    page.evaluate(f"document.getElementById('key-text').value = {key!r}")
    click(page, "#key button[value=use]")


@contextmanager
def running_service(**settings: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The service in a process of its own, on a free port; `settings` as in its environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", **settings}
    command = [sys.executable, "-c", SERVE, str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, process)
            yield url, process
        finally:
            process.terminate()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_S
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(f"{url}/v2/health/ready").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise AssertionError("the service did not start")
