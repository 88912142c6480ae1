"""Make the recording that ships with the service: `python -m scripts.make_demo_recording`.

One street of the simulator, of shapes of its own making. The seed of its campaign is used for nothing else:
no weights were trained on it.
"""

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from spikewatch.ingest.simulation.dataset.job import (
    DatasetOptions,
    RecordingJob,
    RecordingSummary,
    render_film,
    run_job,
)
from spikewatch.ingest.simulation.dataset.layout import recording_paths
from spikewatch.ingest.simulation.dataset.recorder import Timing

ASSETS = Path(__file__).parents[1] / "service" / "assets"
INDEX = 10
OPTIONS = DatasetOptions(
    seed=2026,
    scenario="mixed",
    timing=Timing(seconds=3.0, fps=60.0, label_hz=4.0),
    width=304,
    height=240,
    meshes=None,
)


def write_recording(folder: Path) -> RecordingSummary:
    """Write street_td.dat and street_bbox.npy."""
    with TemporaryDirectory() as made:
        facts = run_job(RecordingJob(Path(made), INDEX, OPTIONS), lambda share: None, render_film)
        files = recording_paths(Path(made), INDEX, facts["scenario"])
        shutil.copy(files.events, folder / "street_td.dat")
        shutil.copy(files.labels, folder / "street_bbox.npy")
    return facts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder for the two files")
    facts = write_recording(parser.parse_args().out)
    print(f"{facts['events']:,} events, {facts['boxes']}")


if __name__ == "__main__":
    main()
