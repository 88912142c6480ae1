"""Short campaigns of the simulator, on a film of boxes."""

from pathlib import Path

from spikewatch.ingest.simulation.dataset.generate import GenerationResult, generate_dataset
from spikewatch.ingest.simulation.dataset.job import DatasetOptions, FilmFactory
from spikewatch.ingest.simulation.dataset.recorder import Timing
from tests.ingest.simulation.support.fake_film import make_fake

OPTIONS = DatasetOptions(3, "mixed", Timing(0.3), 96, 64, None)


def run(
    out: Path,
    recordings: int = 6,
    workers: int = 2,
    make_film: FilmFactory = make_fake,
    options: DatasetOptions = OPTIONS,
) -> tuple[GenerationResult, list[float]]:
    told: list[float] = []
    return generate_dataset(out, options, recordings, workers, make_film, told.append), told
