"""docs/paper.md: every test it names exists, every command it shows runs."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
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
@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(command: str, tmp_path: Path) -> None:
    words = shlex.split(command.replace("out/", f"{tmp_path}/"))
    if "table4/s-2x4" in words:
        words += ["--scale", "t"]
    script = {"spikewatch": [str(Path(sys.executable).with_name("spikewatch"))], "python": [sys.executable]}
    if "--weights" in words and not (tmp_path / "row.safetensors").exists():
        first = [*script["spikewatch"], "init", str(tmp_path / "row.safetensors"), "--size", "64x96"]
        subprocess.run(first, check=True, timeout=100, capture_output=True)
    done = subprocess.run(
        script[words[0]] + words[1:], cwd=ROOT, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", NEED_DATA)
def test_commands_that_need_data_ask_for_it_and_nothing_else(command: str, tmp_path: Path) -> None:
    """Their options are understood: what they miss is the file."""
    script = Path(sys.executable).with_name("spikewatch")
    words = shlex.split(command)[1:]
    done = subprocess.run(
        [script, *words], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1, done.stderr
    assert re.search(r"best\.pt|gen1\.pt|street\.jpg|COCO_FOLDER|GEN1_FOLDER|safetensors", done.stderr)
