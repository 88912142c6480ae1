"""docs/outputs.md: its commands run as they stand, and its zones are zones."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spikewatch.service.zones.schema import load_zones

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/outputs.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_zones_of_the_alert_are_accepted(tmp_path: Path) -> None:
    (text,) = blocks("json")
    (tmp_path / "zones.json").write_text(text)
    (zone,) = load_zones(tmp_path / "zones.json")
    assert zone.name == "gate"


@pytest.mark.slow
def test_commands_for_files_run_as_they_stand(tmp_path: Path) -> None:
    script = blocks("sh")[0].replace("service/assets", str(ROOT / "service/assets"))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-eu", "-c", script]  # without pipefail: head leaves first
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()[:3]] == [0, 1, 2]
    with (tmp_path / "boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    annotations = json.loads((tmp_path / "boxes.coco.json").read_text())["annotations"]
    assert len(rows) == len(annotations) > 0
    tracks = [str(box.get("track_id", "")) for box in annotations]
    assert [row["track_id"] for row in rows] == tracks
    assert any(tracks)
