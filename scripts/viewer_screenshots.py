"""Make the pictures of docs/viewer.md: a service, a headless Chromium, the bundled recording."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from PIL import Image

from tests.e2e.support.chromium import Page, chromium_page
from tests.e2e.support.viewer import LIMIT_S, STREET, click, running_service, visit, wait_for_text

DESKTOP, PHONE = (1440, 900), (390, 844)
SETTLE_S = 1.0
COLOURS = 256
ZONES = [
    {"name": "pavement", "polygon": [[110, 100], [300, 100], [300, 150], [110, 150]]},
    {"name": "gate", "line": [[150, 60], [150, 200]], "anchor": "centre"},
]

Shot = Callable[[str], None]


def play_recording(page: Page) -> None:
    """Drop the bundled recording, and wait until it has been played."""
    page.drop([STREET])
    wait_for_text(page, ".tile .status", "finished")
    page.wait("document.querySelector('.tile .play').ariaLabel == 'Play'", LIMIT_S)


def choose(page: Page, element: str, value: str) -> None:
    page.evaluate(f"document.getElementById({element!r}).value = {value!r}")
    page.evaluate(f"document.getElementById({element!r}).dispatchEvent(new Event('change'))")


def point(page: Page, selector: str, share: float) -> None:
    """Move the pointer over an element, as far from its left as `share` of its width."""
    place = f"[r.x + {share} * r.width, r.y + r.height / 3]"
    box = f"(r => {place})(document.querySelector({selector!r}).getBoundingClientRect())"
    x, y = page.evaluate(box)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


def recording_pictures(page: Page, shot: Shot) -> None:
    shot("first-screen")
    play_recording(page)
    shot("recording")
    point(page, ".timeline", 0.5)
    shot("timeline")
    page.evaluate("document.getElementById('power-card').open = false")
    page.evaluate("document.getElementById('network-card').open = true")
    page.evaluate("document.getElementById('network-card').scrollIntoView({block: 'center'})")
    point(page, "#heat-map", 0.9)
    shot("network")
    page.evaluate("scrollTo(0, 0)")
    choose(page, "theme", "light")
    choose(page, "palette", "light")
    shot("light")
    choose(page, "theme", "dark")
    choose(page, "palette", "red-blue")
    page.evaluate("document.querySelector('.tile .save').open = true")
    shot("save")
    choose(page, "palette", "dark")
    page.evaluate("document.querySelector('.tile .save').open = false")
    page.resize(*PHONE)
    shot("phone")
    page.resize(*DESKTOP)
    click(page, ".tile .close")


def zone_picture(page: Page, shot: Shot, url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False, timeout=LIMIT_S) as client:
        wanted = {"format": "dat", "track": True, "zones": ZONES, "width": 304, "height": 240}
        session_id = client.post("/v1/sessions", json=wanted).json()["session_id"]
        wait_for_text(page, ".tile .status", "waiting for events")
        client.post(f"/v1/sessions/{session_id}/events", content=STREET.read_bytes())
        wait_for_text(page, "#zone-counts", "pavement")
        shot("zones")
        client.delete(f"/v1/sessions/{session_id}")
    click(page, ".tile .close")


def wall_picture(page: Page, shot: Shot) -> None:
    click(page, "#demo")
    wait_for_text(page, ".tile .status", "live")
    page.drop([STREET, STREET])
    page.wait("document.querySelectorAll('.tile[data-state=closed]').length == 2", LIMIT_S)
    shot("wall")
    click(page, "#demo")


def main(folder: Path) -> None:
    """Write the pictures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    program = str(shutil.which("chromium"))
    with (
        tempfile.TemporaryDirectory() as profile,
        running_service() as (url, _),
        chromium_page(program, Path(profile) / "p") as page,
    ):

        def shot(name: str) -> None:
            time.sleep(SETTLE_S)
            path = folder / f"{name}.png"
            page.screenshot(path)
            Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
                path, optimize=True
            )

        page.resize(*DESKTOP)
        visit(page, url)
        recording_pictures(page, shot)
        zone_picture(page, shot, url)
        wall_picture(page, shot)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/viewer"))
