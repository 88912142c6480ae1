"""docs/paper.md: every test it names exists, every command it shows runs."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "paper.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line
]
NEED_DATA = re.findall(r"```sh needs-data\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()


@pytest.mark.parametrize("reference", sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE))))
def test_the_test_exists(reference: str) -> None:
    path, name = reference.split("::")
    names = [n.name for n in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(n, ast.FunctionDef)]
    assert name in names


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:model|service|ingest)/[\w/]+\.py)`", PAGE))))
def test_the_file_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.slow
def test_the_commands_run_as_they_stand(tmp_path: Path) -> None:
    """In order, in a folder that has what a clone has."""
    for name in ("service", "model", "ingest", "benchmarks", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(COMMANDS)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"energy.png", "row.safetensors"}


@pytest.mark.parametrize("command", NEED_DATA)
def test_commands_that_need_data_ask_for_it_and_nothing_else(command: str, tmp_path: Path) -> None:
    """Their options are understood: what they miss is the file."""
    script = Path(sys.executable).with_name("spikewatch")
    words = shlex.split(command)[1:]
    done = subprocess.run(
        [script, *words], cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 1, done.stderr
    assert re.search(r"best\.pt|gen1\.pt|street\.jpg|COCO_FOLDER|GEN1_FOLDER|safetensors", done.stderr)
