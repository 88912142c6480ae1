"""The viewer of a service with API keys, and of one with several weights."""

import re
import shutil
from pathlib import Path

import httpx
import pytest

from spikewatch.service.auth.keys import make_key
from tests.e2e.support.chromium import Page
from tests.e2e.support.viewer import (
    LIMIT_S,
    STREET,
    UNLABELLED,
    click,
    enter_key,
    running_service,
    text,
    visit,
    wait_for_text,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium in PATH"),
]


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
        wait_for_text(page, ".tile:nth-child(1) .name", "Demo camera")
        page.drop([STREET])
        for tile in (1, 3):
            wait_for_text(page, f".tile:nth-child({tile}) .session-weights", "^untrained$")
        for tile in (2, 3):
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
