"""The examples, run as they lie there against a real service, and what they print."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.service.auth.keys import make_key
from spikewatch.service.schemas import Window
from tests.e2e.support.chromium import Page, chromium_page
from tests.model.support.fakes import small_detector
from tests.service.support.live import Live, live_service

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
STREET, STREET_EVENTS = ROOT / "service" / "assets" / "street_td.dat", 205_474
TRAFFIC_EVENTS = 78_830
COLOURS = """(() => {
  const canvas = document.querySelector("canvas");
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
})()"""
SAID = "document.getElementById('said').textContent"


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_service(load_detector(), max_sessions=4, pages=EXAMPLES) as service:
        yield service


@pytest.fixture
def traffic(recordings: Path) -> Path:
    return recordings / "traffic_davis346_td.dat"


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | variables
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def lines(*command: str | Path, **variables: str) -> list[str]:
    done = run(*command, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


# The Python client


def client(live: Live, recording: Path, *more: str) -> list[str]:
    return lines(sys.executable, EXAMPLES / "client.py", recording, "--url", live.url, *more)


def check_client(printed: list[str], events: int, windows: int) -> None:
    *found, last = printed
    assert sum(int(line.split()[2]) for line in found) == events
    assert len(found) == windows
    assert last.startswith(f"{windows} windows, estimated ")
    assert any("a car at" in line for line in found)


def test_client_on_the_bundled_recording(live: Live) -> None:
    check_client(client(live, STREET), STREET_EVENTS, 60)


def test_client_on_a_real_road(live: Live, traffic: Path) -> None:
    check_client(client(live, traffic), TRAFFIC_EVENTS, 48)


def test_client_on_another_format(live: Live, recordings: Path) -> None:
    printed = client(live, recordings / "pedestrians_evt3.raw", "--format", "evt3")
    assert sum(int(line.split()[2]) for line in printed[:-1]) == 5000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["README.md"], "bad_geometry: "),
        ([str(STREET), "--format", "evt3"], "unsupported_format: "),
        ([str(STREET), "--format", "avi"], "invalid_request"),
        ([str(STREET), "--url", "http://127.0.0.1:1"], "Connection refused"),
        (["absent.dat"], "No such file"),
    ],
)
def test_client_says_what_is_wrong_in_a_line(live: Live, arguments: list[str], words: str) -> None:
    done = run(sys.executable, EXAMPLES / "client.py", "--url", live.url, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("script", ["client.py", "two_cameras.py"])
def test_a_service_that_stops_is_told_in_a_line(script: str, tmp_path: Path) -> None:
    recordings = [STREET] if script == "client.py" else [STREET, STREET, "--out", tmp_path / "drive.ndjson"]
    with live_service(load_detector()) as live:
        command = [sys.executable, "-u", EXAMPLES / script, *recordings, "--url", live.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            live.stop()
            _, complaint = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "the service stops" in complaint
    assert len(complaint.splitlines()) == 1, complaint


def test_client_is_short() -> None:
    assert len((EXAMPLES / "client.py").read_text().splitlines()) < 60


# The session with curl

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("jq") is None, reason="no curl and jq in PATH"
)


def check_session(printed: list[str], events: int, windows: int) -> None:
    said = [json.loads(line) for line in printed if not line.startswith("#")]
    network, session, *found, totals = said
    assert network["training"] == "trained on simulated recordings and on events made from video"
    assert session["policy"] == "block"
    assert (totals["events"], totals["windows"]) == (events, windows)
    assert sum(window["events"] for window in found) <= events
    assert any("car" in (window["seen"] or {}) for window in found)


@needs_curl
def test_session_on_the_bundled_recording(live: Live) -> None:
    check_session(lines(EXAMPLES / "session.sh", SPIKEWATCH_URL=live.url), STREET_EVENTS, 60)


@needs_curl
def test_session_on_a_real_road(live: Live, traffic: Path) -> None:
    check_session(lines(EXAMPLES / "session.sh", traffic, SPIKEWATCH_URL=live.url), TRAFFIC_EVENTS, 48)


@needs_curl
def test_session_stops_with_the_words_of_the_service(live: Live) -> None:
    done = run(EXAMPLES / "session.sh", "README.md", SPIKEWATCH_URL=live.url)
    assert done.returncode != 0
    assert '"code":"bad_geometry"' in done.stderr
    assert "# end it" not in done.stdout


# The page


@pytest.fixture
def page(live: Live, tmp_path: Path) -> Iterator[Page]:
    """The page, before anything is chosen."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium in PATH")
    with chromium_page(program, tmp_path) as page:
        page.open(f"{live.url}/pages/browser.html")
        page.wait("!!document.getElementById('demo')?.onclick", 30)
        yield page


def check_page(page: Page, windows: int) -> None:
    page.wait(f"/s: \\d+ events, [1-9]\\d* boxes/.test({SAID})", 60)
    assert page.evaluate(COLOURS) > 3
    said = page.wait(f"/windows/.test({SAID}) && {SAID}", 120)
    assert re.fullmatch(rf"{windows} windows, estimated [\d.]+ mJ; as an ANN [\d.]+ mJ", said)
    if pictures := os.environ.get("SPIKEWATCH_SCREENSHOTS"):
        page.screenshot(Path(pictures) / f"example-browser-{windows}.png")
    assert not [words for words in page.complaints if "favicon" not in words]


def test_page_plays_the_bundled_recording(page: Page) -> None:
    assert page.evaluate(SAID) == "Choose a recording."
    page.evaluate("document.getElementById('demo').click()")
    check_page(page, 60)


def test_page_plays_a_file_of_a_real_road(page: Page, traffic: Path) -> None:
    choose(page, traffic)
    check_page(page, 48)


def test_page_says_what_it_cannot_play(page: Page) -> None:
    choose(page, ROOT / "README.md")
    page.wait(f'{SAID} === "This file does not name its sensor\'s size."', 10)


def choose(page: Page, file: Path) -> None:
    """What the file dialogue does."""
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])


def test_pages_are_served_only_where_a_folder_is_named(live: Live) -> None:
    assert live.http.get("/pages/browser.html").headers["content-type"].startswith("text/html")
    assert live.http.get("/pages/..%2fREADME.md").status_code == 404
    with live_service(small_detector()) as other:
        assert other.http.get("/pages/browser.html").status_code == 404


# Two cameras


def drive(
    live: Live, front: Path, rear: Path, out: Path, *more: str
) -> tuple[list[str], list[dict[str, Any]]]:
    script = EXAMPLES / "two_cameras.py"
    printed = lines(sys.executable, script, front, rear, "--out", out, "--url", live.url, *more)
    return printed, [json.loads(line) for line in out.read_text().splitlines()]


def check_drive(printed: list[str], results: list[dict[str, Any]], out: Path) -> None:
    *shown, front, rear, where = printed
    assert len(shown) == len(results)
    assert where == f"results in {out}"
    for name, summary in (("front", front), ("rear", rear)):
        mine = [line for line in results if line["camera"] == name]
        assert [line["seq"] for line in mine] == sorted(line["seq"] for line in mine)
        assert summary.split(":")[0].strip() == name
        assert f"{len(mine)} windows" in summary
    for line in results:
        Window.model_validate({k: v for k, v in line.items() if k not in ("camera", "received_s")})
    assert [line["received_s"] for line in results] == sorted(line["received_s"] for line in results)


def test_two_cameras_in_real_time(live: Live, tmp_path: Path) -> None:
    printed, results = drive(live, STREET, STREET, tmp_path / "drive.ndjson", "--laps", "2")
    check_drive(printed, results, tmp_path / "drive.ndjson")
    span_s = results[-1]["received_s"] - results[0]["received_s"]
    assert span_s > 0.8 * 2 * 3.0 - 0.5, "no faster than the cameras"
    assert max(line["t_end_us"] for line in results) > 5_900_000


def test_two_cameras_on_different_sensors(live: Live, traffic: Path, tmp_path: Path) -> None:
    printed, results = drive(live, STREET, traffic, tmp_path / "drive.ndjson")
    check_drive(printed, results, tmp_path / "drive.ndjson")
    assert {line["camera"] for line in results if line["detections"]} == {"front", "rear"}


# Where a key is asked for


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Live, str]]:
    """A service that takes requests with a key only, and the key."""
    key, line = make_key("examples")
    with live_service(small_detector(), api_keys=line) as service:
        yield service, key


def commands(live: Live, folder: Path) -> dict[str, list[str | Path]]:
    address = ["--url", live.url]
    return {
        "client.py": [sys.executable, EXAMPLES / "client.py", STREET, *address],
        "two_cameras.py": [
            *(sys.executable, EXAMPLES / "two_cameras.py", STREET, STREET),
            *("--out", folder / "drive.ndjson", *address),
        ],
        "session.sh": [EXAMPLES / "session.sh"],
    }


@pytest.mark.parametrize(
    "name", ["client.py", "two_cameras.py", pytest.param("session.sh", marks=needs_curl)]
)
def test_the_key_is_taken_from_the_environment(guarded: tuple[Live, str], name: str, tmp_path: Path) -> None:
    live, key = guarded
    command = commands(live, tmp_path)[name]
    refused = run(*command, SPIKEWATCH_URL=live.url)
    assert refused.returncode != 0
    assert "key_missing" in refused.stderr
    assert lines(*command, SPIKEWATCH_URL=live.url, SPIKEWATCH_KEY=key)


# What is said about them


def test_each_example_is_described(live: Live) -> None:
    text = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.iterdir():
        assert path.name == "README.md" or path.name in text, path.name
