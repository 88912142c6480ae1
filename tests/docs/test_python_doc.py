"""docs/python.md: its code runs as it stands, and its tables name what exists."""

import importlib.util
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import spikewatch
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.service.pipeline.options import ResultOptions
from spikewatch.service.pipeline.results import DetectionResult
from tests.service.support.live import live_service

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/python.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NEEDS_SERVICE = re.findall(r"```python needs-service\n(.*?)```", PAGE, re.DOTALL)
NEEDS_SUPERVISION = re.findall(r"```python needs-supervision\n(.*?)```", PAGE, re.DOTALL)


def run(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_code_runs_as_it_stands() -> None:
    assert len(CODE) == 7
    lines = run("\n".join(CODE))
    assert lines[0].startswith("50000 [[")
    assert sum(bool(re.match(r"\d+ \[", line)) for line in lines) == 60
    assert [line for line in lines if re.match(r"\d+% 300000 ", line)]
    assert not [line for line in lines if re.match(r"\d+% 350000 ", line)]
    assert len([line for line in lines if line.startswith("snn=")]) == 1
    assert re.fullmatch(r"\{'refractory': \d+, 'background': \d{4,}\}", lines[-2])
    assert lines[-1].startswith("[{'image_id': 0, 'category_id': ")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("supervision") is None, reason="the extra `supervision`")
def test_code_with_supervision_runs() -> None:
    assert len(NEEDS_SUPERVISION) == 1
    assert len(run("\n".join([CODE[0], CODE[1], *NEEDS_SUPERVISION]))) > 60


@pytest.mark.slow
def test_code_with_a_service_runs() -> None:
    assert len(NEEDS_SERVICE) == 2
    with live_service(load_detector("untrained", runtime="auto")) as live:
        code = "\n".join(["import spikewatch", *NEEDS_SERVICE]).replace("http://127.0.0.1:8000", live.url)
        *windows, energy, uploaded, last = run(code)
    assert sum(int(line.split()[1]) for line in windows) == 205_474
    assert energy.startswith("{'snn': ")
    assert int(uploaded.split()[1]) == len(windows) == int(last) + 1


def test_table_names_every_attribute() -> None:
    table = PAGE.split("| attribute |")[1].split("\n\n")[0]
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert told == {f.name for f in fields(DetectionResult) if not f.name.startswith("_")} - {
        "class_names"
    } | {"labels"}


def test_options_and_errors_exist() -> None:
    options = re.findall(r"`(\w+)`", PAGE.split("## Options")[1].split(":", 1)[1].split(".")[0])
    assert set(options) == ResultOptions.__annotations__.keys()
    table = PAGE.split("| error | cause |")[1]
    for name in re.findall(r"`(\w+)`", table):
        assert name in spikewatch.__all__ or name in ("ValueError", "OSError", "ConnectionError")
