"""The viewer in a real browser on the real service: others' sessions, the demo camera, dropped recordings."""

import shutil
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.e2e.support.chromium import Page
from tests.e2e.support.viewer import (
    LIMIT_S,
    STREET,
    UNLABELLED,
    click,
    running_service,
    text,
    visit,
    wait_for_text,
)

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
CAR, PEDESTRIAN, ACCENT = [240, 160, 20], [0, 200, 140], [255, 176, 59]
POINT = """((selector, share) => {
  const canvas = document.querySelector(selector), {left, top, width} = canvas.getBoundingClientRect();
  const place = {clientX: left + share * width, clientY: top + 20, bubbles: true};
  canvas.dispatchEvent(new PointerEvent("pointermove", place));
})"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium in PATH"),
]


def time_shown_s(page: Page) -> float:
    page.wait("/ s$/.test(document.querySelector('.time')?.textContent)", LIMIT_S)
    return float(text(page, ".time").split()[0])


def test_sessions_are_shown_as_they_come_and_go(page: Page, tmp_path: Path) -> None:
    with running_service() as (url, process):
        visit(page, f"{url}/?confidence=0.05")
        assert (
            text(page, "#badge") == "weights: trained on simulated recordings and on events made from video"
        )
        assert f"{url}/v1/sessions" in text(page, "#curl")
        assert "1 slice of 50 ms a window" in text(page, "#model-facts")
        page.wait(f"{COLOURS_ON}('#thumbnail') > 10", LIMIT_S)

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
        for fold in ("#latency-card", "#network-card"):
            page.evaluate(f"document.querySelector('{fold}').open = true")
        for canvas in (".timeline", "#power-plot canvas", "#heat-map", "#latency-plot canvas"):
            page.wait(f"{COLOURS_ON}('{canvas}') > 3", LIMIT_S)
        wait_for_text(page, "#objects", "[1-9]\\d* (car|pedestrian)")
        wait_for_text(page, "#tracks", "(car|pedestrian) #\\d+")
        wait_for_text(page, "#saving", "^\\d+\\.\\d×$")
        wait_for_text(page, "#meters", "Latency.*Dropped windows")
        wait_for_text(page, ".tile .facts", "latency .* \\d+ dropped")
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
    wait_for_text(page, "#meters", "Speed.*real time.*Boxes.*Objects.*Energy of the run")
    wait_for_text(page, ".tile .facts", "real time.*objects in all")
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
    wait_for_text(page, ".tile .time", f"^{paused_s - 0.05:.2f} ")
    page.press("ArrowRight")
    page.press("ArrowRight")
    wait_for_text(page, ".tile .time", f"^{paused_s + 0.05:.2f} ")

    wait_for_text(page, ".tile .status", "finished")
    page.evaluate("document.querySelector('.timeline').focus()")
    page.press("Home")
    wait_for_text(page, ".tile .time", "^0.05 . 3.00 s")
    page.press("End")
    wait_for_text(page, ".tile .time", "^3.00 . 3.00 s$")
    assert page.evaluate("document.querySelector('.timeline').getAttribute('aria-valuetext')").startswith(
        "3.00 s, "
    )

    page.press("+")
    page.wait("document.querySelector('.tile').classList.contains('zoomed')", LIMIT_S)
    page.press("0")
    page.wait("!document.querySelector('.tile').classList.contains('zoomed')", LIMIT_S)
    page.press("k")
    page.wait("parseFloat(document.querySelector('.time').textContent) < 2", LIMIT_S)


def test_timeline_shows_values_under_the_pointer(page: Page, service: str) -> None:
    visit(page, service)
    page.drop([STREET])
    wait_for_text(page, ".tile .status", "finished")
    page.wait("document.querySelector('.tile .play').ariaLabel == 'Play'", LIMIT_S)
    assert page.evaluate(f"{HAS_INK}('.timeline', {ACCENT})") == 0
    page.evaluate(f"{POINT}('.timeline', 0.5)")
    assert page.evaluate(f"{HAS_INK}('.timeline', {ACCENT})") > 20
    assert time_shown_s(page) == 3.0, "pointing does not seek"


def test_playback_speed_is_set_by_keys_and_by_choice(page: Page, service: str) -> None:
    visit(page, service)
    page.drop([STREET])
    wait_for_text(page, ".tile .status", "finished")
    page.wait("document.querySelector('.tile .play').ariaLabel == 'Play'", LIMIT_S)
    for key, speed in zip("<<>>>>", ("0.5", "0.25", "0.5", "1", "2", "4"), strict=True):
        page.press(key)
        page.wait(f"document.querySelector('.speed').value == '{speed}'", LIMIT_S)
    page.evaluate("document.querySelector('.speed').value = '0.1'")
    page.evaluate("document.querySelector('.speed').dispatchEvent(new Event('change'))")
    page.press("k")
    began = time.monotonic()
    page.wait("parseFloat(document.querySelector('.time').textContent) < 0.15", LIMIT_S)
    page.wait("parseFloat(document.querySelector('.time').textContent) >= 0.15", LIMIT_S)
    assert time.monotonic() - began > 0.9, "0.1 s of the recording take 1 s"


def test_recordings_side_by_side_and_what_goes_wrong(page: Page, service: str, tmp_path: Path) -> None:
    visit(page, service)
    nameless = tmp_path / "nameless_td.dat"
    data = STREET.read_bytes()
    nameless.write_bytes(b"% Version 2\n\x00\x08" + data[data.index(b"\n\x00\x08") + 3 :][: 8 * 40_000])
    damaged = tmp_path / "damaged.raw"
    damaged.write_bytes(np.arange(4096, dtype="u1").tobytes())
    page.drop([STREET, nameless, damaged])
    wait_for_text(page, "#refusals li", "^damaged.raw .*which is no known format")
    page.wait("document.getElementById('size').open", LIMIT_S)
    assert text(page, "#size-name") == "nameless_td.dat"
    page.evaluate("document.getElementById('size-width').value = 304")
    page.evaluate("document.getElementById('size-height').value = 240")
    click(page, "dialog button[value=run]")
    page.wait("document.querySelectorAll('.tile').length == 2", LIMIT_S)
    for tile in (1, 2):
        wait_for_text(page, f".tile:nth-child({tile}) .status", "finished")
        wait_for_text(page, f".tile:nth-child({tile}) .count", "car|pedestrian")
    assert text(page, ".tile:nth-child(2) .kind") == "DAT 304 × 240"
    click(page, "#refusals button")
    assert page.evaluate("document.getElementById('refusals').hidden")


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
