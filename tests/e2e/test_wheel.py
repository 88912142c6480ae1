"""The wheel, installed into a fresh environment, works in a folder with modules of the same names."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.support.deploy import ROOT, build_wheel, run

INNER_NAMES = ("model", "service", "ingest")


@pytest.fixture(scope="module")
def bin_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment that holds the wheel, and reads dependencies from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel, venv = build_wheel(folder), folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", venv / "bin/python")
    run(*pip, "install", "--no-deps", "--no-index", wheel)
    # after the installation: pip would replace the spikewatch of this environment
    site = next(venv.glob("lib/python*/site-packages"))
    paths = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "dependencies.pth").write_text("\n".join(paths) + "\n")
    return venv / "bin"


@pytest.fixture
def hostile_folder(tmp_path: Path) -> Path:
    for name in INNER_NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name}.py was imported')\n")
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.mark.slow
def test_wheel_runs_beside_modules_of_the_same_names(
    bin_dir: Path, hostile_folder: Path, environment: dict[str, str]
) -> None:
    shutil.copy(ROOT / "service/assets/street_td.dat", hostile_folder / "street_td.dat")
    options = {"cwd": hostile_folder, "env": environment}
    code = "import spikewatch\nwith spikewatch.open_recording('street_td.dat'): print(spikewatch.__file__)"
    package = Path(run(bin_dir / "python", "-c", code, **options).strip()).parent
    assert package.is_relative_to(bin_dir.parent)
    assert (package / "py.typed").exists()
    command = ("detect", "street_td.dat", "--json", "--out", "boxes.ndjson")
    for program in ((bin_dir / "spikewatch",), (bin_dir / "python", "-m", "spikewatch")):
        summary = json.loads(run(*program, *command, **options))
        *windows, last = (hostile_folder / "boxes.ndjson").read_text().splitlines()
        assert json.loads(last)["summary"] == summary
        assert len(windows) == summary["windows"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", INNER_NAMES)
def test_wheel_installs_no_other_package(
    bin_dir: Path, tmp_path: Path, environment: dict[str, str], name: str
) -> None:
    code = f"import importlib.util; print(importlib.util.find_spec('{name}'))"
    assert run(bin_dir / "python", "-c", code, cwd=tmp_path, env=environment) == "None\n"
