"""docs/evaluation.md: its commands and its code run as they stand, and every test it names exists."""

import ast
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.service.support.console import run_command

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evaluation.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_commands_and_code_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In order, in a folder that has what a clone has; in this process, which has torch in memory already."""
    (tmp_path / "service").symlink_to(ROOT / "service")
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/boxes.json").write_text(blocks("json")[0])
    for line in "".join(blocks("sh")).splitlines():
        command, *arguments = shlex.split(line)
        if command == "spikewatch":
            done = run_command(capsys, *arguments)
            assert done.status == 0, done.err
            assert "--detections" not in line or re.search(r"all +100\.0 +100\.0 +100\.0", done.out)
        else:
            subprocess.run([command, *arguments], check=True, timeout=60)
    assert {path.name for path in Path("out").iterdir()} >= {"r.json", "r.csv", "r.png", "r.html"}
    assert json.loads(Path("out/r.json").read_text())["training"] == "untrained"
    exec(blocks("python")[0], {})
    average, rate, energy_mj = map(float, capsys.readouterr().out.split())
    assert 0 <= average <= 1
    assert 0 < rate < 1
    assert energy_mj > 0


@pytest.mark.parametrize("reference", sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE))))
def test_the_test_exists(reference: str) -> None:
    path, name = reference.split("::")
    names = [n.name for n in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(n, ast.FunctionDef)]
    assert name in names
