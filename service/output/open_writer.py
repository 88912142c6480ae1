"""Choose the writer of a file of results by its ending."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spikewatch.model.errors import MissingExtraError
from spikewatch.model.spec import ModelSpec
from spikewatch.service.output.coco import CocoWriter
from spikewatch.service.output.video import AnnotatedVideo
from spikewatch.service.output.writers import WRITERS, ResultWriter, StdoutWriter
from spikewatch.service.zones.schema import Zone


@dataclass(frozen=True, slots=True)
class RunDescription:
    """The properties of a recording and its detector that are known before the first slice.

    Attributes:
        name: of the recording, without folder and ending.
        sensor_size: width and height in pixels.
    """

    name: str
    sensor_size: tuple[int, int]
    slice_us: int
    spec: ModelSpec
    zones: Sequence[Zone] = ()


def open_writer(path: Path, run: RunDescription) -> ResultWriter:
    """Return the writer of a file with a known ending; `-` is standard output.

    Raises:
        MissingExtraError: the library for the ending is not installed.
    """
    if str(path) == "-":
        return StdoutWriter()
    if path.name.endswith(".coco.json"):
        return CocoWriter(path, run.name, run.sensor_size, run.spec.class_names)
    if path.suffix == ".mp4":
        return AnnotatedVideo(path, run.sensor_size, run.slice_us, run.spec, run.zones)
    if path.suffix == ".mcap":
        return _open_mcap(path)
    return WRITERS[path.suffix](path)


def _open_mcap(path: Path) -> ResultWriter:
    try:
        from spikewatch.service.output.mcap import McapWriter
    except ImportError as error:
        raise MissingExtraError(
            f"foxglove cannot be imported ({error}); install it: pip install 'spikewatch[mcap]'"
        ) from error
    return McapWriter(path)
