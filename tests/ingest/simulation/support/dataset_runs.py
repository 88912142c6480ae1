"""Short runs of the dataset generator, on a film of boxes."""

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
    film_factory: FilmFactory = make_fake,
    options: DatasetOptions = OPTIONS,
) -> tuple[GenerationResult, list[float]]:
    """Generate a dataset in `out`; return the result, and all values passed to `on_progress`."""
    progress: list[float] = []
    result = generate_dataset(out, options, recordings, workers, film_factory, progress.append)
    return result, progress
