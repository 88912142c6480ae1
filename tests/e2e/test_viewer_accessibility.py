"""The viewer under axe-core, in both themes: names, roles, contrast."""

import hashlib
import json
import shutil
import subprocess
import tarfile

import pytest

from tests.e2e.support.chromium import Page
from tests.e2e.support.viewer import LIMIT_S, STREET, click, visit, wait_for_text

AXE = "axe-core@4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
SERIOUS = """axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations
  .filter(({impact}) => impact === "serious" || impact === "critical")
  .map(({id, nodes}) => [id, nodes.map(node => node.html + " " + node.failureSummary)]))"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium in PATH"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="no npm in PATH"),
]


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Source of axe-core, from npm."""
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(["npm", "pack", AXE], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot fetch {AXE}: {done.stderr[-300:]}")
    (package,) = folder.glob("*.tgz")
    with tarfile.open(package) as files:
        source = files.extractfile("package/axe.min.js")
        assert source is not None
        data = source.read()
    assert hashlib.sha256(data).hexdigest() == AXE_SHA256
    return data.decode()


def serious_faults(page: Page, axe: str) -> list[tuple[str, list[str]]]:
    page.evaluate(axe)
    found: list[tuple[str, list[str]]] = page.evaluate(SERIOUS)
    return found


def test_axe_finds_a_planted_fault(page: Page, service: str, axe: str) -> None:
    visit(page, service)
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert [rule for rule, _ in serious_faults(page, axe)] == ["button-name"]


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_no_serious_fault(page: Page, service: str, axe: str, theme: str, width: int) -> None:
    page.resize(width, 900)
    visit(page, service)
    page.evaluate(f"document.getElementById('theme').value = {theme!r}")
    page.evaluate("document.getElementById('theme').dispatchEvent(new Event('change'))")
    assert serious_faults(page, axe) == [], "first screen"
    page.drop([STREET])
    wait_for_text(page, ".tile .status", "finished")
    page.wait("document.querySelector('.tile .play').ariaLabel == 'Play'", LIMIT_S)
    for fold in page.evaluate("[...document.querySelectorAll('details')].map(fold => fold.open = true)"):
        assert fold
    click(page, ".tile .pick")
    assert json.dumps(serious_faults(page, axe), indent=1) == "[]", "everything unfolded"
