"""The viewer in a real browser on the real service: others' sessions, the demo camera, dropped recordings."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from spikewatch.service.auth.keys import make_key
from tests.e2e.support.chromium import Page
from tests.e2e.support.viewer import LIMIT_S, click, enter_key, text, visit, wait_for_text

ROOT = Path(__file__).parents[2]
STREET = ROOT / "service" / "assets" / "street_td.dat"
SERVE = """
import asyncio, sys
from spikewatch.service.app import create_app
from spikewatch.service.server import make_server
from spikewatch.service.settings import Settings
settings = Settings(port=int(sys.argv[1]), threads=1, log_json=False)
asyncio.run(make_server(create_app(settings), settings).serve())
"""
PIXELS = """(selector => {
  const canvas = document.querySelector(selector);
  if (!canvas?.width) return new Uint8ClampedArray();
  const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
  pen.drawImage(canvas, 0, 0);
  return pen.getImageData(0, 0, canvas.width, canvas.height).data;
})"""
COLOURS_ON = f"(selector => new Set(new Uint32Array({PIXELS}(selector).buffer)).size)"
HAS_INK = f"""((selector, rgb) => {{
  const data = {PIXELS}(selector);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) count += rgb.every((value, k) => data[i + k] === value);
  return count;
}})"""
CAR, PEDESTRIAN = [240, 160, 20], [0, 200, 140]
UNLABELLED = """[...document.querySelectorAll(
  "button, select, input:not([hidden]), canvas, [role=slider]"
)].filter(
  element => element.offsetParent
    && !(element.ariaLabel || element.textContent.trim() || element.labels?.length)
).map(element => element.outerHTML)"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium in PATH"),
]


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


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with running_service() as (url, _):
        yield url


def time_shown_s(page: Page) -> float:
    page.wait("/ s$/.test(document.querySelector('.time')?.textContent)", LIMIT_S)
    return float(text(page, ".time").removesuffix(" s"))


def test_sessions_are_shown_as_they_come_and_go(page: Page, tmp_path: Path) -> None:
    with running_service() as (url, process):
        visit(page, f"{url}/?confidence=0.05")
        assert (
            text(page, "#badge") == "weights: trained on simulated recordings and on events made from video"
        )
        assert f"{url}/v1/sessions" in text(page, "#curl")
        assert "1 slice of 50 ms a window" in text(page, "#model-facts")

        with httpx.Client(base_url=url, trust_env=False) as client:
            session_id = client.post("/v1/sessions", json={"width": 64, "height": 48}).json()["session_id"]
            wait_for_text(page, ".tile .status", "waiting for events")
            assert session_id[:8] in text(page, ".tile .name")
            assert text(page, "#confidence-note") == "this session sends none below 0.25"
            client.delete(f"/v1/sessions/{session_id}")
            wait_for_text(page, ".tile .status", "ended by its client")
        click(page, ".tile .close")
        assert page.evaluate("document.body.classList.contains('empty')")

        click(page, "#demo")
        wait_for_text(page, ".tile .status", "live")
        wait_for_text(page, ".tile .count", "[1-9]\\d* (car|pedestrian)")
        page.wait(f"{COLOURS_ON}('.sheet') >= 20", LIMIT_S)
        for canvas in (".timeline", "#power-plot", "#heat-map", "#latency-plot"):
            page.wait(f"{COLOURS_ON}('{canvas}') > 3", LIMIT_S)
        assert "mW" in text(page, "#snn")
        assert "latency" in text(page, ".tile .facts")
        wait_for_text(page, ".tile .drops", "^\\d+ dropped")
        assert page.evaluate(UNLABELLED) == []
        page.screenshot(tmp_path / "desktop.png")

        click(page, "#demo")
        wait_for_text(page, ".tile .status", "ended by its client")
        page.wait("document.getElementById('demo').textContent == 'Demo camera'", LIMIT_S)
        assert page.complaints == []

        process.terminate()
        page.wait("document.getElementById('alert').textContent.includes('does not answer')", LIMIT_S)


def test_api_documentation_is_drawn_without_other_sites(page: Page, service: str) -> None:
    page.open(f"{service}/docs")
    page.wait("document.querySelectorAll('.opblock').length > 15", LIMIT_S)
    assert page.evaluate(
        "performance.getEntriesByType('resource').every(e => e.name.startsWith(location.origin))"
    )
    assert page.complaints == []


def test_a_dropped_recording_is_run_and_played(page: Page, service: str, tmp_path: Path) -> None:
    visit(page, service)
    page.drop([STREET])
    wait_for_text(page, ".tile .count", "1 car, \\d pedestrians")
    page.wait(f"{HAS_INK}('.sheet', {CAR}) > 50 && {HAS_INK}('.sheet', {PEDESTRIAN}) > 50", LIMIT_S)
    assert (text(page, ".name"), text(page, ".kind")) == ("street_td.dat", "DAT 304 × 240")
    wait_for_text(page, ".tile .status", "finished")
    page.wait("document.querySelector('.tile .play').ariaLabel == 'Play'", LIMIT_S)
    assert time_shown_s(page) == 3.0
    assert text(page, "#dropped") == "0"
    assert page.evaluate("document.querySelector('.sheet').ariaLabel").startswith("Events and boxes: ")
    page.screenshot(tmp_path / "finished.png")

    page.evaluate("document.getElementById('confidence').value = 0.95")
    page.evaluate("document.getElementById('confidence').dispatchEvent(new Event('input'))")
    wait_for_text(page, ".tile .count", "no boxes")
    page.resize(390, 844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(tmp_path / "phone.png")
    assert page.complaints == []


def test_pause_step_seek_and_zoom_by_keys(page: Page, service: str) -> None:
    visit(page, service)
    page.drop([STREET])
    wait_for_text(page, ".tile .status", "running|finished")
    wait_for_text(page, ".tile .time", "0\\.[1-9]")
    page.press("k")
    page.wait("document.querySelector('.tile .play').ariaLabel == 'Play'", LIMIT_S)
    paused_s = time_shown_s(page)
    time.sleep(0.4)
    assert time_shown_s(page) == paused_s
    page.press("ArrowLeft")
    wait_for_text(page, ".tile .time", f"^{paused_s - 0.05:.3f} s")
    page.press("ArrowRight")
    page.press("ArrowRight")
    wait_for_text(page, ".tile .time", f"^{paused_s + 0.05:.3f} s")

    wait_for_text(page, ".tile .status", "finished")
    page.evaluate("document.querySelector('.timeline').focus()")
    page.press("Home")
    wait_for_text(page, ".tile .time", "^0.050 s")
    page.press("End")
    wait_for_text(page, ".tile .time", "^3.000 s")
    assert page.evaluate("document.querySelector('.timeline').getAttribute('aria-valuetext')").startswith(
        "3.000 s, "
    )

    page.press("+")
    page.wait("document.querySelector('.tile').classList.contains('zoomed')", LIMIT_S)
    page.press("0")
    page.wait("!document.querySelector('.tile').classList.contains('zoomed')", LIMIT_S)
    page.press("k")
    page.wait("parseFloat(document.querySelector('.time').textContent) < 2", LIMIT_S)


def test_recordings_side_by_side_and_what_goes_wrong(page: Page, service: str, tmp_path: Path) -> None:
    visit(page, service)
    nameless = tmp_path / "nameless_td.dat"
    data = STREET.read_bytes()
    nameless.write_bytes(b"% Version 2\n\x00\x08" + data[data.index(b"\n\x00\x08") + 3 :][: 8 * 40_000])
    damaged = tmp_path / "damaged.raw"
    damaged.write_bytes(np.arange(4096, dtype="u1").tobytes())
    page.drop([STREET, nameless, damaged])
    page.wait("document.querySelectorAll('.tile').length == 3", LIMIT_S)
    wait_for_text(page, ".tile:nth-child(3) .status", "which is no known format")
    page.wait("document.getElementById('size').open", LIMIT_S)
    assert text(page, "#size-name") == "nameless_td.dat"
    page.evaluate("document.getElementById('size-width').value = 304")
    page.evaluate("document.getElementById('size-height').value = 240")
    click(page, "dialog button[value=run]")
    for tile in (1, 3):
        wait_for_text(page, f".tile:nth-child({tile}) .status", "finished")
        wait_for_text(page, f".tile:nth-child({tile}) .count", "car|pedestrian")
    assert text(page, ".tile:nth-child(3) .kind") == "DAT 304 × 240"


def test_a_recording_taken_off_the_wall_is_broken_off(page: Page, service: str, recordings: Path) -> None:
    visit(page, service)
    page.drop([recordings / "imx636_spinning_td.dat"])
    wait_for_text(page, ".tile .status", "running")
    with httpx.Client(base_url=service, trust_env=False) as client:
        assert len(client.get("/v1/sessions").json()["sessions"]) == 1
        click(page, ".tile .close")
        deadline = time.monotonic() + LIMIT_S
        while client.get("/v1/sessions").json()["sessions"]:
            assert time.monotonic() < deadline, "the upload goes on"
            time.sleep(0.1)
    assert page.evaluate("document.querySelectorAll('.tile').length") == 0


def test_real_traffic_shows_cars(page: Page, service: str, recordings: Path) -> None:
    visit(page, service)
    page.drop([recordings / "traffic_davis346_td.dat"])
    wait_for_text(page, ".tile .count", "\\d cars?")
    page.wait(f"{HAS_INK}('.sheet', {CAR}) > 50", LIMIT_S)
    assert page.complaints == []


def refused(client: httpx.Client) -> dict[str, float]:
    """How often the service refused something, by code."""
    counts = re.findall(r'^spikewatch_refused_total{code="(\w+)"} (\S+)$', client.get("/metrics").text, re.M)
    return {code: float(count) for code, count in counts if float(count)}


def test_a_service_with_keys_is_looked_at_with_one(page: Page, tmp_path: Path) -> None:
    key, line = make_key("browser")
    with running_service(SPIKEWATCH_API_KEYS=line) as (url, _):
        page.open(url)
        page.wait("document.getElementById('key')?.open", LIMIT_S)
        assert page.evaluate("document.getElementById('key-wrong').hidden")
        enter_key(page, "sw_wrong")
        page.wait("!document.getElementById('key-wrong').hidden", LIMIT_S)
        page.screenshot(tmp_path / "wrong_key.png")
        click(page, "#key button[value='']")
        wait_for_text(page, "#alert", "This service asks for a key")
        click(page, "#enter-key")
        enter_key(page, key)
        page.wait("document.getElementById('badge').offsetHeight > 0", LIMIT_S)
        page.wait("document.getElementById('alert').hidden", LIMIT_S)
        wait_for_text(page, "#curl", "X-API-Key: .SPIKEWATCH_KEY")

        click(page, "#demo")
        wait_for_text(page, ".tile .status", "live")
        wait_for_text(page, ".tile .count", "[1-9]\\d* (car|pedestrian)")
        page.drop([STREET])
        wait_for_text(page, ".tile:nth-child(2) .name", "street_td.dat")
        wait_for_text(page, ".tile:nth-child(2) .count", "1 car, \\d pedestrians")
        wait_for_text(page, ".tile:nth-child(2) .status", "finished")
        assert page.evaluate("document.querySelectorAll('.tile').length") == 2, "each session has one tile"
        page.screenshot(tmp_path / "with_key.png")

        assert key not in page.evaluate("performance.getEntries().map(entry => entry.name).join() + location")
        assert page.evaluate("[localStorage.length, document.cookie.length]") == [0, 0]

        visit(page, url)
        assert not page.evaluate("document.getElementById('key').open"), "the tab keeps the key"
        with httpx.Client(base_url=url, headers={"X-API-Key": key}, trust_env=False) as client:
            assert set(refused(client)) == {"key_missing", "key_unknown"}
    assert all("401" in complaint for complaint in page.complaints), page.complaints


def test_metrics_are_shown_with_the_key(page: Page) -> None:
    """A link carries no key, so the page fetches them; into a tab that this stands in for."""
    key, line = make_key("browser")
    with running_service(SPIKEWATCH_API_KEYS=line) as (url, _):
        page.open(url)
        page.wait("document.getElementById('key')?.open", LIMIT_S)
        page.evaluate("window.open = () => window.tab = {location: {}, close() { this.closed = true; }}")
        click(page, "#key button[value='']")
        wait_for_text(page, "#alert", "This service asks for a key")
        click(page, "#metrics")
        wait_for_text(page, "#alert", "Metrics: This service asks for a key")
        assert page.evaluate("window.tab.closed")
        click(page, "#enter-key")
        enter_key(page, key)
        page.wait("document.getElementById('enter-key').hidden", LIMIT_S)
        click(page, "#metrics")
        page.wait("window.tab.location.href?.startsWith('blob:')", LIMIT_S)
        shown = "(async () => window.shown = await (await fetch(window.tab.location.href)).text())()"
        page.evaluate(shown)
        page.wait("window.shown?.includes('spikewatch_events_total')", LIMIT_S)


def test_weights_are_chosen_where_there_are_several(page: Page, service: str, tmp_path: Path) -> None:
    visit(page, service)
    assert page.evaluate("document.getElementById('weights').offsetParent") is None, "nothing to choose"
    with running_service(SPIKEWATCH_MODELS="untrained") as (url, _):
        visit(page, url)
        options = "[...document.getElementById('weights').options].map(option => option.value)"
        assert page.evaluate(options) == ["spikewatch-t", "untrained"]
        assert page.evaluate("document.getElementById('weights').offsetHeight > 0")
        assert page.evaluate(UNLABELLED) == []
        page.drop([STREET])
        wait_for_text(page, ".tile:nth-child(1) .session-weights", "spikewatch-t")
        page.evaluate("document.getElementById('weights').value = 'untrained'")
        page.evaluate("document.getElementById('weights').dispatchEvent(new Event('change'))")
        assert text(page, "#model-name") == "untrained"
        assert "boxes mean nothing" in text(page, "#badge")
        assert "--weights untrained" in text(page, "#curl")
        click(page, "#demo")
        wait_for_text(page, ".tile:nth-child(2) .name", "Demo camera")
        page.drop([STREET])
        for tile in (2, 3):
            wait_for_text(page, f".tile:nth-child({tile}) .session-weights", "^untrained$")
        for tile in (1, 3):
            page.wait(
                f"/finished/.test(document.querySelector('.tile:nth-child({tile}) .status').textContent)", 60
            )
        page.screenshot(tmp_path / "weights.png")
        page.resize(390, 844)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(tmp_path / "weights_phone.png")
    assert page.complaints == []


def test_without_keys_nothing_is_refused_and_no_ticket_asked_for(page: Page, tmp_path: Path) -> None:
    with running_service() as (url, _), httpx.Client(base_url=url, trust_env=False) as client:
        visit(page, url)
        copies = [tmp_path / f"street{i}_td.dat" for i in range(7)]
        for copy in copies:
            copy.write_bytes(STREET.read_bytes())
        page.drop(copies)
        for tile in range(1, 8):
            wait_for_text(page, f".tile:nth-child({tile}) .status", "finished")
            wait_for_text(page, f".tile:nth-child({tile}) .count", "car|pedestrian")
        asked = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name).join(' ')")
        assert "/v1/sessions" in asked
        assert "/ticket" not in asked
        assert refused(client) == {}
    assert page.complaints == []
