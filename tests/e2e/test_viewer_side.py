"""The viewer's side column in a real browser: zones with their counts."""

import shutil
from pathlib import Path

import httpx
import pytest

from tests.e2e.support.chromium import Page
from tests.e2e.support.viewer import LIMIT_S, STREET, text, visit, wait_for_text

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
