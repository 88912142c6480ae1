"""Report of a simulated dataset, `simulation.json`: options, versions, licences and recordings."""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from spikewatch.atomic_file import atomic_write
from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.job import DatasetOptions
from spikewatch.ingest.simulation.dataset.workers import RecordingSummary

REPORT_FILE = "simulation.json"

SIMULATOR_REVISION = 2
"""Revision of the simulator; increase it with every change that alters the recordings of a seed."""

VERSIONED_PACKAGES = ("spikewatch", "numpy", "numba", "moderngl", "opencv-python-headless", "av")

MESH_LICENCES = (
    {
        "part": "shapes of vehicles, buildings, trees and street furniture",
        "source": "Gazebo model collection (gazebo_models), Open Source Robotics Foundation",
        "licence": "CC BY 3.0",
    },
    {"part": "shapes of people", "source": "anny, parametric body model", "licence": "Apache-2.0; data CC0"},
)
"""Licences of the meshes that docs/simulation.md names; other meshes have other licences."""


def describe_options(options: DatasetOptions) -> dict[str, Any]:
    """Return the options as written to the report, with a digest for the mesh folder.

    Raises:
        SimulationError: the mesh folder has no meshes.
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
    """Return a digest of the names and contents of all `*.npz` in the folder.

    Raises:
        SimulationError: the folder has no `*.npz`.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise SimulationError(
            f"no meshes (*.npz) in {folder}; docs/simulation.md describes the expected files"
        )
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def simulator_versions() -> dict[str, str | int | None]:
    """Return the simulator's revision and the versions of its packages; None if not installed."""
    versions: dict[str, str | int | None] = {"revision": SIMULATOR_REVISION}
    for package in VERSIONED_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


def read_summaries(output_dir: Path, options: dict[str, Any]) -> dict[int, RecordingSummary]:
    """Return the recordings of earlier runs with the same options, by index; empty for a new folder.

    Raises:
        SimulationError: the folder has recordings with other options, or its report is invalid.
    """
    path = output_dir / REPORT_FILE
    if not path.exists():
        return {}
    try:
        report = json.loads(path.read_text())
        earlier, versions = report["options"], report["versions"]
        summaries = {int(entry["index"]): dict(entry) for entry in report["recordings"]}
    except (ValueError, KeyError, TypeError) as error:
        raise SimulationError(f"{path} is not a simulation report ({error!r}); use another folder") from None
    for name, value in options.items():
        if earlier.get(name) != value:
            raise SimulationError(
                f"{output_dir} has recordings with {name} {earlier.get(name)}, not {value}; "
                "pass the same options to resume, or use another folder"
            )
    if versions.get("revision") != SIMULATOR_REVISION:
        raise SimulationError(
            f"{output_dir} has recordings of simulator revision {versions.get('revision')}, this is revision "
            f"{SIMULATOR_REVISION}; use another folder"
        )
    return summaries


def write_report(output_dir: Path, options: dict[str, Any], summaries: dict[int, RecordingSummary]) -> None:
    """Replace the report atomically; recordings are sorted by index."""
    report = {
        "simulated": "by spikewatch simulate; no event is from a real event camera",
        "options": options,
        "versions": simulator_versions(),
        "licences": [] if options.get("meshes") is None else list(MESH_LICENCES),
        "recordings": [summaries[index] for index in sorted(summaries)],
    }
    with atomic_write(output_dir / REPORT_FILE) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n")
