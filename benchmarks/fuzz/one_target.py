"""One target under libFuzzer, in a process of its own: python -m benchmarks.fuzz.one_target NAME [OPTIONS].

Kernels of numba are run as they are compiled, so the coverage that guides the fuzzer is that of the Python
code around them.
"""

import sys
from pathlib import Path

import atheris

import spikewatch
from benchmarks.fuzz.run import CORPUS

PACKAGE = Path(spikewatch.__file__).parent
INSTRUMENTED = ("ingest", "model", "service")


def kernel_modules() -> list[str]:
    """Return the modules with numba kernels, which cannot be compiled from instrumented code."""
    names: list[str] = []
    for package in INSTRUMENTED:
        root = (PACKAGE / package).resolve()
        found = [path for path in root.rglob("*.py") if "numba" in path.read_text()]
        parts = [path.relative_to(root).with_suffix("").parts for path in found]
        names += [".".join(("spikewatch", package, *part)) for part in parts]
    return names


if __name__ == "__main__":
    packages = [f"spikewatch.{name}" for name in INSTRUMENTED]
    with atheris.instrument_imports(include=packages, exclude=kernel_modules()):
        from benchmarks.fuzz.targets import make_target

        target = make_target(sys.argv[1])
    for seed in sorted((CORPUS / sys.argv[1]).iterdir()):
        target(seed.read_bytes())  # compiles the kernels, whose time would count as that of an input
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()
