"""The arrows of ARCHITECTURE.md: which package may import which, checked on the source."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("ingest", "model", "service")

FORBIDDEN = {
    "ingest": {
        "torch",
        "fastapi",
        "starlette",
        "prometheus_client",
        "spikewatch.model",
        "spikewatch.service",
    },
    "model": {"fastapi", "starlette", "prometheus_client", "spikewatch.ingest", "spikewatch.service"},
    "service": set[str](),
}
MAY_IMPORT_INGEST = "model.training"

PUBLIC_FILES = {"__init__.py", "__main__.py"}
SHARED_FILES = {"atomic_file.py"}
"""Of `spikewatch/` itself: below all packages, so these import the standard library only."""

LAYERS: dict[str, list[set[str]]] = {
    "ingest": [
        {"errors", "events", "child_process", "foreign_content"},
        {"columns", "event_arrays", "recording", "pipe", "filters"},
        {"formats", "table_options"},
        {"slicing", "hdf5", "aedat4", "tables"},
        {"open"},
        {"simulation"},
    ],
    "ingest.simulation": [
        {"film", "geometry", "event_camera"},
        {"world"},
        {"actors"},
        {"rendering"},
        {"scene_generator", "pictures"},
        {"dataset"},
        {"video"},
        {"texture_statistics"},
        {"statistics"},
    ],
    "model": [
        {"errors", "coco_classes", "detections", "nms"},
        {"network"},
        {"spec", "decode", "prophesee_boxes"},
        {"letterbox", "array_detector"},
        {"postprocess"},
        {"runtime"},
        {"detector", "compiled_detector"},
        {"still_image"},
        {"checkpoints", "energy", "export", "paper_tables"},
        {"training"},
    ],
    "model.training": [
        {"datasets"},
        {"slice_cache", "evaluation"},
        {"augment"},
        {"loader"},
        {"learner"},
    ],
    "service": [
        {
            "errors",
            "limits",
            "listen",
            "settings",
            "log_config",
            "process_memory",
            "tasks",
            "zones",
            "power",
            "filters",
        },
        {"schemas", "concurrency", "model_catalog", "plotting"},
        {"bench", "client"},
        {"inference"},
        {"metrics", "output"},
        {"sinks"},
        {"http", "reports", "sessions"},
        {"auth", "scheduling", "snapshots"},
        {"session_manager", "pipeline"},
        {"uploads", "server"},
        {"api"},
        {"app"},
        {"cluster"},
        {"cli"},
    ],
}
"""Package -> its modules and subpackages from the bottom up; each may import those in rows above its own."""


@cache
def modules() -> dict[str, ast.Module]:
    """Dotted name without `spikewatch.` -> syntax tree, of every file of the three packages."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths
    ]
    return {name: ast.parse(path.read_text()) for name, path in zip(names, paths, strict=True)}


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all imports, also those inside functions; `from a import b` gives a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def graph() -> dict[str, set[str]]:
    """Module -> the modules of the three packages that it imports; type-checking imports count too."""
    trees = modules()
    found = {
        name: {item.removeprefix("spikewatch.") for item in imports(tree)} for name, tree in trees.items()
    }
    return {name: (targets & set(trees)) - {name} for name, targets in found.items()}


def reached_modules(source: str, edges: dict[str, set[str]]) -> set[str]:
    """Return `source` and the modules that it imports, directly or not."""
    reached, waiting = set[str](), [source]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += edges[name]
    return reached


def layer_faults(package: str, layers: list[set[str]], edges: dict[str, set[str]]) -> list[str]:
    """Imports within a package that do not point to a lower layer."""
    row = {name: number for number, names in enumerate(layers) for name in names}
    prefix = package + "."
    faults = []
    for source, targets in edges.items():
        for target in targets:
            if not (source.startswith(prefix) and target.startswith(prefix)):
                continue
            above, below = (name.removeprefix(prefix).split(".")[0] for name in (source, target))
            if above != below and row[below] >= row[above]:
                faults.append(f"{source} imports {target}")
    return sorted(faults)


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Every strongly connected group of at least two modules (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(edges[name]):
            if target not in index:
                visit(target)
            if target in stack:
                low[name] = min(low[name], low[target])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in edges:
        if name not in index:
            visit(name)
    return groups


def test_packages_import_only_what_they_may() -> None:
    wrong = []
    for name, tree in modules().items():
        allowed = {"spikewatch.ingest"} if name.startswith(MAY_IMPORT_INGEST) else set()
        for item in imports(tree):
            parts = item.split(".")
            top = ".".join(parts[: 2 if parts[0] == "spikewatch" else 1])
            if top in FORBIDDEN[name.split(".")[0]] - allowed:
                wrong.append(f"{name} imports {item}")
    assert wrong == []


def test_shared_files_import_no_package() -> None:
    shared = {path.name: ast.parse(path.read_text()) for path in (ROOT / "spikewatch").glob("*.py")}
    assert set(shared) == SHARED_FILES | PUBLIC_FILES
    wrong = [
        f"{name} imports {item}"
        for name in SHARED_FILES
        for item in imports(shared[name])
        if item.split(".")[0] not in sys.stdlib_module_names
    ]
    assert wrong == []


@pytest.mark.parametrize("package", LAYERS)
def test_layers_import_only_lower_layers(package: str) -> None:
    assert layer_faults(package, LAYERS[package], graph()) == []


@pytest.mark.parametrize("package", LAYERS)
def test_every_module_has_a_layer(package: str) -> None:
    folder = ROOT / package.replace(".", "/")
    present = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    present |= {path.parent.name for path in folder.glob("*/__init__.py")}
    assert present == set().union(*LAYERS[package])


def test_compiled_runtime_needs_no_torch() -> None:
    tops = {name: {item.split(".")[0] for item in imports(tree)} for name, tree in modules().items()}
    torch_users = {name for name, found in tops.items() if "torch" in found}
    compiled = {name for name in graph() if name.startswith("model.runtime.compiled.")}
    assert len(compiled) > 20
    faults = {name: found for name in compiled if (found := reached_modules(name, graph()) & torch_users)}
    assert faults == {}


def test_no_circle_of_modules() -> None:
    assert circles(graph()) == []


def test_no_folder_holds_more_than_nineteen_modules() -> None:
    counts = {
        str(path.parent.relative_to(ROOT)): len(list(path.parent.glob("*.py"))) - 1
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert {folder: count for folder, count in counts.items() if count > 19} == {}


def test_no_test_module_imports_another() -> None:
    shared = [
        f"{path.relative_to(ROOT)} imports {item}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for item in imports(ast.parse(path.read_text()))
        if item.startswith("tests.") and any(part.startswith("test_") for part in item.split("."))
    ]
    assert shared == []


@pytest.mark.parametrize("package", PACKAGES)
def test_tests_lie_in_folders_of_the_packages(package: str) -> None:
    tested = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests" / package).rglob("test_*.py")
    }
    assert {str(folder) for folder in tested if not (ROOT / folder / "__init__.py").exists()} == set()


def test_the_checks_see_faults() -> None:
    tree = ast.parse("def f():\n    import torch.nn\n    from spikewatch.model.errors import ModelError\n")
    assert list(imports(tree)) == [
        "torch.nn",
        "spikewatch.model.errors",
        "spikewatch.model.errors.ModelError",
    ]
    edges = {"p.low.a": {"p.high"}, "p.high": {"p.low.a", "p.low.b"}, "p.low.b": set()}
    assert layer_faults("p", [{"low"}, {"high"}], edges) == ["p.low.a imports p.high"]
    assert circles(edges) == [["p.high", "p.low.a"]]
    assert reached_modules("p.low.a", edges) == {"p.low.a", "p.high", "p.low.b"}
