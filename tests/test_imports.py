"""The arrows of ARCHITECTURE.md: which package may import which, checked on the source."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "ingest": {"torch", "spikewatch.model", "spikewatch.service", "fastapi", "prometheus_client"},
    "model": {"spikewatch.ingest", "spikewatch.service", "fastapi", "prometheus_client"},
}
MAY_IMPORT_INGEST = Path("model/training")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {_package(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(_package(node.module or ""))
    return names


def _package(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "spikewatch" else 1])


def test_imports_point_one_way() -> None:
    wrong = []
    for package, forbidden in FORBIDDEN.items():
        for path in sorted((ROOT / package).rglob("*.py")):
            allowed = (
                {"spikewatch.ingest"} if path.relative_to(ROOT).is_relative_to(MAY_IMPORT_INGEST) else set()
            )
            found = imported(path) & (forbidden - allowed)
            wrong += [f"{path.relative_to(ROOT)} imports {name}" for name in sorted(found)]
    assert wrong == []


def test_the_check_sees_imports(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "def f():\n    import torch.nn\n    from spikewatch.model.errors import ModelError\n"
    )
    assert imported(tmp_path / "a.py") == {"torch", "spikewatch.model"}
