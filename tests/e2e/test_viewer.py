"""The viewer in a real browser on the real service: a session of others, the demo camera, a lost service."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.e2e.chromium import Page, chromium_page

ROOT = Path(__file__).parents[2]
LIMIT_S = 40.0
SERVE = """
import asyncio, sys
from service.app import create_app
from service.server import make_server
from service.settings import Settings
settings = Settings(port=int(sys.argv[1]), threads=1, log_json=False)
asyncio.run(make_server(create_app(settings), settings).serve())
"""
COLOURS_ON = """(id => {
  const canvas = document.getElementById(id);
  if (!canvas.width) return 0;
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
})"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium in PATH"),
]


@contextmanager
def running_service() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The service in a process of its own, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
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


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium_page(str(shutil.which("chromium")), tmp_path / "profile") as page:
        page.resize(1280, 800)
        yield page


def text(page: Page, element: str) -> str:
    return str(page.evaluate(f"document.getElementById('{element}').textContent"))


def state(page: Page) -> str:
    return str(page.evaluate("document.body.dataset.state"))


def test_sessions_are_shown_as_they_come_and_go(page: Page, tmp_path: Path) -> None:
    with running_service() as (url, process):
        page.open(f"{url}/?confidence=0.01")
        page.wait("document.getElementById('badge')?.offsetHeight > 0", LIMIT_S)
        assert text(page, "badge") == "weights: trained on simulated recordings"
        assert state(page) == "idle"
        assert f"{url}/v1/sessions" in text(page, "curl")

        with httpx.Client(base_url=url, trust_env=False) as client:
            session_id = client.post("/v1/sessions", json={"width": 64, "height": 48}).json()["session_id"]
            page.wait("document.body.dataset.state == 'quiet'", LIMIT_S)
            assert session_id[:8] in text(page, "status")
            client.delete(f"/v1/sessions/{session_id}")
            page.wait("document.body.dataset.state == 'closed'", LIMIT_S)

        page.evaluate("document.getElementById('demo').click()")
        page.wait("document.body.dataset.state == 'live'", LIMIT_S)
        page.wait(f"{COLOURS_ON}('events') >= 3", LIMIT_S)
        page.wait("/^[1-9]\\d* box/.test(document.getElementById('boxes').ariaLabel)", LIMIT_S)
        page.wait("Number(document.getElementById('windows-rate').textContent) > 0", LIMIT_S)
        for canvas in ("boxes", "energy-plot", "rate-plot", "layer-plot"):
            assert page.evaluate(f"{COLOURS_ON}('{canvas}')") > 3, f"{canvas} is blank"
        assert "mW" in text(page, "snn")
        assert "demo camera" in page.evaluate("document.getElementById('session').selectedOptions[0].text")
        page.screenshot(tmp_path / "desktop.png")
        page.resize(390, 844)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(tmp_path / "phone.png")

        page.evaluate("document.getElementById('demo').click()")
        page.wait("document.body.dataset.state == 'closed'", LIMIT_S)
        assert text(page, "status").endswith("its client ended it")
        page.wait("document.getElementById('demo').textContent == 'Demo camera'", LIMIT_S)
        assert page.complaints == []

        process.terminate()
        page.wait("document.getElementById('alert').textContent.includes('does not answer')", LIMIT_S)
