"""Every file, module and name of the code that a document mentions exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "examples/README.md"]
FOLDERS = "ingest|model|service|spikewatch|tests|benchmarks|scripts|examples|docs|docker"
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]+)(?:::(\w+))?")
MODULE = re.compile(r"(?:python -m|from|import) ((?:spikewatch|benchmarks|scripts)(?:\.\w+)+)")
CLASS = re.compile(r"`([A-Z][a-z]+[A-Z]\w+)(?:\.(\w+))?[`(]")
SOURCE = "\n".join(
    path.read_text() for folder in ("ingest", "model", "service") for path in (ROOT / folder).rglob("*.py")
)


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(params=[page for page in PAGES if page.name != "CHANGELOG.md"], ids=ids)
def text(request: pytest.FixtureRequest) -> str:
    page: Path = request.param
    return page.read_text()


def test_paths_exist(text: str) -> None:
    for name, test in PATH.findall(text):
        path = ROOT / name.rstrip(".")
        assert path.exists(), name
        assert not test or f"def {test}(" in path.read_text(), f"{name}::{test}"


def test_modules_exist(text: str) -> None:
    for module in MODULE.findall(text):
        path = ROOT / module.removeprefix("spikewatch.").replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").exists(), module


def test_names_in_architecture_exist() -> None:
    for name, member in CLASS.findall((ROOT / "ARCHITECTURE.md").read_text()):
        assert re.search(rf"\bclass {name}\b", SOURCE), name
        assert not member or re.search(rf"\b{member}\b", SOURCE), f"{name}.{member}"
