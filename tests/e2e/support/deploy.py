"""The files that deploy the service, as data."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]

COMPOSE = ROOT / "docker-compose.yml"

DOCKERFILE = ROOT / "docker" / "Dockerfile"


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=400, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    output: str = done.stdout
    return output


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def instructions() -> list[tuple[str, str]]:
    """(keyword, rest) of each instruction of the Dockerfile, continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def rest_of(keyword: str) -> list[str]:
    return [rest for word, rest in instructions() if word == keyword]


def probe() -> list[str]:
    """The image's health check, as an argument vector."""
    command: list[str] = json.loads(rest_of("HEALTHCHECK")[0].partition("CMD")[2])
    return command


def copied() -> list[str]:
    """What the image takes from the repository."""
    copies = [shlex.split(rest) for rest in rest_of("COPY") if "--from=" not in rest]
    return [source for *sources, _ in copies for source in sources]


def build_wheel(folder: Path) -> Path:
    """Build the wheel in `folder`, from a copy of what the image takes, without network."""
    source, target = folder / "src", folder / "wheels"
    source.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored, symlinks=True)
        else:
            shutil.copy(ROOT / name, source / name)
    wheel = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps")
    run(*wheel, "--no-build-isolation", "--no-index", "--wheel-dir", target, source, cwd=folder)
    return next(target.iterdir())
