"""`import spikewatch`: light, typed, and every public name is there."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import spikewatch


@pytest.mark.parametrize("heavy", ["torch", "fastapi", "numba", "pydantic"])
def test_import_loads_no_heavy_package(heavy: str) -> None:
    code = f"import sys, spikewatch; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


def test_client_loads_no_torch() -> None:
    code = "import sys, spikewatch; spikewatch.Client; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


@pytest.mark.parametrize("name", spikewatch.__all__)
def test_public_name_exists(name: str) -> None:
    assert getattr(spikewatch, name) is not None
    assert name in dir(spikewatch)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'detects'"):
        _ = spikewatch.detects


def test_types_are_announced() -> None:
    spec = find_spec("spikewatch")
    assert spec is not None
    assert (Path(str(spec.origin)).parent / "py.typed").exists()
