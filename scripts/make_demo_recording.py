"""Makes the recording that ships with the service: `python -m scripts.make_demo_recording`.

One street of the simulator, of shapes of its own making. The seed of its campaign is used for nothing else:
no weights were trained on it.
"""

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from spikewatch.ingest.simulation.dataset.job import Facts, Job, Options, director_film, run_job
from spikewatch.ingest.simulation.dataset.layout import place
from spikewatch.ingest.simulation.dataset.recorder import Timing

ASSETS = Path(__file__).parents[1] / "service" / "assets"
INDEX = 10
OPTIONS = Options(
    seed=2026,
    scenario="mixed",
    timing=Timing(seconds=3.0, fps=60.0, label_hz=4.0),
    width=304,
    height=240,
    meshes=None,
)


def write(folder: Path) -> Facts:
    """Write street_td.dat and street_bbox.npy."""
    with TemporaryDirectory() as made:
        facts = run_job(Job(Path(made), INDEX, OPTIONS), director_film, lambda share: None)
        files = place(Path(made), INDEX, facts["scenario"])
        shutil.copy(files.events, folder / "street_td.dat")
        shutil.copy(files.labels, folder / "street_bbox.npy")
    return facts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder for the two files")
    facts = write(parser.parse_args().out)
    print(f"{facts['events']:,} events, {facts['boxes']}")


if __name__ == "__main__":
    main()
