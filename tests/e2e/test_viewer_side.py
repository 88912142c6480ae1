"""What people take from the viewer: zones with counts, files, links; and what a closed page leaves behind."""

import io
import json
import shutil
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from spikewatch.service.zones.schema import load_zones
from tests.e2e.support.chromium import Page
from tests.e2e.support.viewer import LIMIT_S, STREET, click, text, visit, wait_for_text

ZONES = [
    {"name": "pavement", "polygon": [[100, 80], [303, 80], [303, 239], [100, 239]]},
    {"name": "gate", "line": [[150, 0], [150, 239]], "anchor": "centre"},
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium in PATH"),
]


def test_zones_are_drawn_and_counted(page: Page, service: str, tmp_path: Path) -> None:
    visit(page, service)
    with httpx.Client(base_url=service, trust_env=False, timeout=LIMIT_S) as client:
        wanted = {"format": "dat", "track": True, "zones": ZONES, "width": 304, "height": 240}
        session_id = client.post("/v1/sessions", json=wanted).json()["session_id"]
        try:
            wait_for_text(page, ".tile .status", "waiting for events")
            answer = client.post(f"/v1/sessions/{session_id}/events", content=STREET.read_bytes())
            last = answer.json()["windows"][-1]["zones"]
            wait_for_text(page, ".tile .time", f"^{2.9:.1f}|^3")
            inside, entered = (sum(last[0][field].values()) for field in ("inside", "entered"))
            assert entered > 0, "the demo street has people on the pavement"
            wait_for_text(page, "#zone-counts tbody tr", f"^pavement{inside}{entered}")
            assert text(page, "#zone-counts tbody tr:nth-child(2) th") == "gate"
            page.screenshot(tmp_path / "zones.png")
        finally:
            client.delete(f"/v1/sessions/{session_id}")
    assert page.complaints == []


def test_results_picture_and_link_leave_the_page(page: Page, service: str, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    visit(page, service)
    page.drop([STREET])
    wait_for_text(page, ".tile .status", "finished")
    page.wait("document.querySelector('.tile .play').ariaLabel == 'Play'", LIMIT_S)
    for name in ("ndjson", "coco", "png"):
        click(page, f".save-{name}")
    names = ("street_td.ndjson", "street_td.coco.json", "street_td.3.00_s.png")
    lines, boxes, picture = (wait_for_file(folder / name) for name in names)
    windows = [json.loads(line) for line in lines.decode().splitlines()]
    assert [window["seq"] for window in windows] == list(range(60))
    expected = [(w["seq"], 1 + d["class_id"], d["confidence"]) for w in windows for d in w["detections"]]
    found = [(box["image_id"], box["category_id"], box["score"]) for box in json.loads(boxes)]
    assert found == expected
    assert len(found) > 100
    assert Image.open(io.BytesIO(picture)).getextrema() != ((0, 0),) * 4

    click(page, ".save-video")
    assert text(page, ".save-video").startswith("Stop and save ")
    page.wait("document.querySelector('.save-video').textContent.startsWith('Record ')", LIMIT_S)
    ending = {"MP4": "mp4", "WebM": "webm"}[text(page, ".save-video").split()[-1]]
    head = wait_for_file(folder / f"street_td.{ending}")[:12]
    assert (b"ftyp" in head) == (ending == "mp4")
    assert page.complaints == []


def wait_for_file(path: Path) -> bytes:
    deadline = time.monotonic() + LIMIT_S
    while not path.exists() or not path.stat().st_size:
        assert time.monotonic() < deadline, f"no {path.name}"
        time.sleep(0.1)
    return path.read_bytes()


def test_session_of_a_closed_page_ends(page: Page, service: str) -> None:
    visit(page, service)
    click(page, "#demo")
    wait_for_text(page, ".tile .status", "live")
    assert page.evaluate("document.querySelector('.session-link').href").startswith(f"{service}/?session=")
    page.open("about:blank")
    with httpx.Client(base_url=service, trust_env=False) as client:
        deadline = time.monotonic() + LIMIT_S
        while client.get("/v1/sessions").json()["sessions"]:
            assert time.monotonic() < deadline, "the session goes on"
            time.sleep(0.1)


def test_zones_drawn_by_hand_are_exported_and_used(page: Page, service: str, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    visit(page, service)
    page.drop([STREET])
    wait_for_text(page, ".tile .status", "finished")
    click(page, "#zone-editor summary")
    corners = [[30, 40], [180, 40], [180, 200]]
    for x, y in corners:
        click_sensor(page, x, y)
    wait_for_text(page, "#zone-state", "^3 corners; 0 of 8")
    assert page.evaluate("document.getElementById('zone-area').disabled"), "it has no name yet"
    page.evaluate("document.getElementById('zone-name').value = 'yard'")
    page.evaluate("document.getElementById('zone-name').dispatchEvent(new Event('input'))")
    click(page, "#zone-area")
    wait_for_text(page, "#zone-state", "1 of 8 zones: yard$")
    click(page, "#zone-export")
    wait_for_file(folder / "zones.json")
    (zone,) = load_zones(folder / "zones.json")
    assert zone.name == "yard"
    np.testing.assert_allclose(zone.polygon, corners, atol=1)

    click(page, "#demo")
    wait_for_text(page, ".tile .status", "live")
    wait_for_text(page, "#zone-counts tbody", "^yard")
    click(page, "#demo")
    wait_for_text(page, ".tile .status", "ended by its client")
    assert page.complaints == []


def click_sensor(page: Page, x: float, y: float) -> None:
    """Click where the demo street has this pixel."""
    place = f"[r.left + {x / 304} * r.width, r.top + {y / 240} * r.height]"
    box = f"(r => {place})(document.querySelector('.sheet').getBoundingClientRect())"
    left, top = page.evaluate(box)
    for kind in ("mousePressed", "mouseReleased"):
        page.call("Input.dispatchMouseEvent", type=kind, x=left, y=top, button="left", clickCount=1)


def test_slice_and_hop_of_the_next_recording_are_chosen(page: Page, service: str, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    visit(page, service)
    page.evaluate("document.getElementById('slice').value = '100'")
    page.evaluate("document.getElementById('hop').value = '2'")
    page.drop([STREET])
    wait_for_text(page, ".tile .status", "finished")
    page.wait("document.querySelector('.timeline').getAttribute('aria-valuemax') == '29'", LIMIT_S)
    click(page, ".save-ndjson")
    windows = [json.loads(line) for line in wait_for_file(folder / "street_td.ndjson").decode().splitlines()]
    assert [w["t_end_us"] - windows[0]["t_start_us"] for w in windows[:3]] == [200_000, 400_000, 600_000]
    assert page.complaints == []
