"""The README's code runs as it stands, but for the address of the service."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spikewatch.ingest.open import open_recording
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.detector import Detector
from spikewatch.service.schemas import Window
from tests.model.support.fakes import small_detector
from tests.service.support.live import Live, live_service

ROOT = Path(__file__).parents[2]
ADDRESS = "127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def service() -> Iterator[Live]:
    detector: Detector = small_detector()
    with live_service(detector) as live:
        yield live


def run(command: list[str], live: Live) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_over_http(service: Live) -> None:
    script = blocks("sh")[1].replace(ADDRESS, service.url.removeprefix("http://"))
    lines = run(["bash", "-euo", "pipefail", "-c", script], service).splitlines()
    uploaded = next(json.loads(line)["summary"] for line in lines if '"summary"' in line)
    assert uploaded["events"] == 205_474
    answer = json.loads("{" + lines[-1].split("}{", 1)[1])
    assert answer["totals"]["windows"] > 0


def test_commands_on_recordings(service: Live, tmp_path: Path) -> None:
    script = blocks("sh")[0].replace("boxes.", f"{tmp_path}/boxes.")
    out = run(["bash", "-euo", "pipefail", "-c", script], service)
    assert "trained on simulated recordings" in out
    assert {path.name for path in tmp_path.iterdir()} == {"boxes.ndjson", "boxes.npy", "boxes.csv"}
    first = Window.model_validate_json((tmp_path / "boxes.ndjson").read_text().splitlines()[0])
    shown = Window.model_validate_json(blocks("json")[0])
    assert f"the first of its {len(first.detections)} boxes" in (ROOT / "README.md").read_text()
    for name in (
        "x",
        "y",
        "w",
        "h",
        "confidence",
    ):  # other processors have other runtimes, which round otherwise
        assert getattr(shown.detections[0], name) == pytest.approx(
            getattr(first.detections[0], name), rel=0.15, abs=2.0
        )
    assert shown.energy_mj.snn == pytest.approx(first.energy_mj.snn, rel=0.02)
    assert shown.energy_mj.ann == pytest.approx(first.energy_mj.ann, rel=0.001)


@pytest.mark.slow
def test_python_without_a_service(service: Live) -> None:
    lines = run([sys.executable, "-c", blocks("python")[0]], service)
    assert sum("Detections(xywh=" in line for line in lines.splitlines()) == 60


@pytest.mark.parametrize("queues", [{}, {"inbox_slices": 1, "outbox_windows": 1}], ids=["", "tight"])
def test_python_over_the_websocket(queues: dict[str, int]) -> None:
    """In short queues as well: whoever sends all before reading would wait there for ever."""
    with live_service(small_detector(), **queues) as live:
        code = blocks("python")[1].replace(ADDRESS, live.url.removeprefix("http://"))
        out = run([sys.executable, "-c", code], live)
    events = [int(line.split()[1]) for line in out.splitlines()]
    assert sum(events) == 205_474


def test_the_window_shown_is_the_first_of_the_bundled_recording() -> None:
    """Up to what depends on the machine."""
    shown, spec = Window.model_validate_json(blocks("json")[0]), load_detector().spec
    assert (shown.seq, shown.t_start_us, shown.t_end_us) == (0, 0, spec.slices * spec.slice_us)
    with open_recording(ROOT / "service/assets/street_td.dat") as recording:
        events = sum(int((chunk["t"] < shown.t_end_us).sum()) for chunk in recording.chunks())
    assert (shown.events, shown.training) == (events, spec.training)


def test_make_targets_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make (\w+)", (ROOT / "README.md").read_text())):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
