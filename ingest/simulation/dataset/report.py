"""`simulation.json`: how the recordings of a folder were made, and what is in them."""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from spikewatch.atomic_file import atomic_write
from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.job import DatasetOptions, RecordingSummary

REPORT_FILE = "simulation.json"

SIMULATOR_REVISION = 2
"""Of the simulator: to be raised where the same seed gives other recordings than before."""

VERSIONED_PACKAGES = ("spikewatch", "numpy", "numba", "moderngl")

MESH_LICENCES = (
    {
        "part": "shapes of vehicles, buildings, trees and street furniture",
        "source": "Gazebo model collection (gazebo_models), Open Source Robotics Foundation",
        "licence": "CC BY 3.0",
    },
    {"part": "shapes of people", "source": "anny, parametric body model", "licence": "Apache-2.0; data CC0"},
)
"""Of the meshes that docs/simulation.md names; other meshes have their own."""


def describe_options(options: DatasetOptions) -> dict[str, Any]:
    """The options as they stand in the report; meshes by a digest of their files.

    Raises:
        SimulationError: the folder of meshes holds none.
    """
    return {
        "seed": options.seed,
        "scenario": options.scenario,
        "seconds": options.timing.seconds,
        "fps": options.timing.fps,
        "label-hz": options.timing.label_hz,
        "width": options.width,
        "height": options.height,
        "meshes": None if options.meshes is None else mesh_digest(options.meshes),
    }


def mesh_digest(folder: Path) -> str:
    """Changes with the name or content of any `*.npz` in the folder.

    Raises:
        SimulationError: there are none.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise SimulationError(
            f"{folder}: no meshes (*.npz); docs/simulation.md says what a folder of them holds"
        )
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def simulator_versions() -> dict[str, str | int | None]:
    """The simulator's revision, and what it is built on; None for what is not installed."""
    found: dict[str, str | int | None] = {"revision": SIMULATOR_REVISION}
    for package in VERSIONED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def read_summaries(output_dir: Path, options: dict[str, Any]) -> dict[int, RecordingSummary]:
    """What an earlier run with the same options has finished, by index; empty for a new folder.

    Raises:
        SimulationError: the folder was made with other options, or its report cannot be understood.
    """
    path = output_dir / REPORT_FILE
    if not path.exists():
        return {}
    try:
        report = json.loads(path.read_text())
        earlier, made_by = report["options"], report["versions"]
        facts = {int(each["index"]): dict(each) for each in report["recordings"]}
    except (ValueError, KeyError, TypeError) as error:
        raise SimulationError(
            f"{path}: not a report of a simulation ({error!r}); name another folder"
        ) from None
    for name, value in options.items():
        if earlier.get(name) != value:
            raise SimulationError(
                f"{output_dir} holds recordings with {name} {earlier.get(name)}, not {value}; "
                "give the same options to go on, or name another folder"
            )
    if made_by.get("revision") != SIMULATOR_REVISION:
        raise SimulationError(
            f"{output_dir} was made by revision {made_by.get('revision')} of the simulator, this is "
            f"{SIMULATOR_REVISION}; "
            "name another folder"
        )
    return facts


def write_report(output_dir: Path, options: dict[str, Any], summaries: dict[int, RecordingSummary]) -> None:
    """Replaces the report, at once or not at all; recordings in order of their index."""
    report = {
        "simulated": "by spikewatch simulate; no real event is among these",
        "options": options,
        "versions": simulator_versions(),
        "licences": [] if options["meshes"] is None else list(MESH_LICENCES),
        "recordings": [summaries[index] for index in sorted(summaries)],
    }
    with atomic_write(output_dir / REPORT_FILE) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n")
