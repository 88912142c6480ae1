"""Recordings for the clients: variants of the bundled street, each in its own format."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.dat import encode_dat
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.simulation.dataset.layout import encode_dat_header
from tests.ingest.support.encoders import ENCODERS
from tests.ingest.support.hdf5_files import write_compound

STREET_RECORDING = Path(__file__).parents[2] / "service" / "assets" / "street_td.dat"
REAL_RECORDINGS = {
    "traffic_davis346_td.dat": "dat",
    "pedestrians_evt3.raw": "evt3",
    "traffic_davis346_short.aedat4": "",
}
HOUR_US = 3_600_000_000
WRAP_US = 1 << 32


@dataclass(frozen=True, slots=True)
class SoakRecording:
    """Bytes to send, and the same on disk.

    Attributes:
        name: of the file.
        format: of a stream; empty if it can only be uploaded.
        path: the file.
        header: bytes of the file before the data; they are not sent.
        data: the bytes to send.
        sensor_size: of the sensor, where the bytes do not name it.
    """

    name: str
    format: str
    path: Path
    header: bytes
    data: bytes
    sensor_size: tuple[int, int] | None

    @property
    def sensor_parameters(self) -> dict[str, int]:
        """Return the parameters that a client must send about the sensor."""
        return (
            {} if self.sensor_size is None else {"width": self.sensor_size[0], "height": self.sensor_size[1]}
        )


def make_recordings(folder: Path, real: Path | None, street_s: float) -> list[SoakRecording]:
    """Write all into a folder, the small real ones too if there is a folder of them.

    Args:
        folder: where to.
        real: where the real ones are.
        street_s: how much of the street is played.
    """
    with open_recording(STREET_RECORDING) as source:
        street = np.concatenate(list(source.chunks()))
        width, height = source.sensor_size()
    street = street[street["t"] < street_s * 1e6]
    made = [
        _write_recording(folder, name, *how, (width, height))
        for name, how in _variants(street, width, height)
    ]
    for name, format in REAL_RECORDINGS.items():
        if real is not None and (real / name).is_file():
            made.append(SoakRecording(name, format, real / name, b"", (real / name).read_bytes(), None))
    return made


def _variants(
    street: Events, width: int, height: int
) -> Iterator[tuple[str, tuple[str, bool, Callable[[], Events]]]]:
    """Name; format, whether a header names the sensor, and the events."""

    def changed(events: Events = street, **columns: object) -> Events:
        events = events.copy()
        for name, values in columns.items():
            events[name] = values
        return events

    t, x, y, p = (street[name] for name in "txyp")
    half_us = int(t[-1]) // 2
    later = np.where(t < half_us, t, t + 15_000_000)
    quiet = np.where(t < half_us, t, t + 2_000_000)
    inner = street[(t > half_us // 2) & (t < half_us * 3 // 2)]
    yield "street.dat", ("dat", True, lambda: street)
    yield "mirrored.raw", ("evt3", True, lambda: changed(x=width - 1 - x))
    yield "inverted.raw", ("evt2", True, lambda: changed(p=1 - p))
    yield "upside_down.raw", ("evt21", True, lambda: changed(y=height - 1 - y))
    yield "wrapping.dat", ("dat", False, lambda: changed(t=t + WRAP_US - half_us))
    yield "cut.raw", ("evt2", False, lambda: inner)
    yield "hour_later.raw", ("evt3", False, lambda: changed(t=t + HOUR_US))
    yield "jumping.dat", ("dat", True, lambda: changed(t=later))
    yield "quiet.raw", ("evt21", False, lambda: changed(t=quiet))
    yield "sparse.dat", ("dat", True, lambda: changed(street[::10], t=t[::10] * 4))
    yield "compound.h5", ("hdf5", False, lambda: changed(x=width - 1 - x, p=1 - p))


def _write_recording(
    folder: Path, name: str, format: str, named: bool, events: Callable[[], Events], size: tuple[int, int]
) -> SoakRecording:
    path = folder / name
    if format == "hdf5":
        write_compound(path, events())
        return SoakRecording(name, "", path, b"", path.read_bytes(), size)
    header, data = _make_header(format, *size), _encode(format, events())
    path.write_bytes(header + data)
    if named:
        return SoakRecording(name, format, path, b"", header + data, None)
    return SoakRecording(name, format, path, header, data, size)


def _make_header(format: str, width: int, height: int) -> bytes:
    if format == "dat":
        return encode_dat_header(width, height)
    return f"% format {format.upper()};height={height};width={width}\n% end\n".encode()


def _encode(format: str, events: Events) -> bytes:
    if format == "dat":
        events = events.copy()
        events["t"] %= WRAP_US
        return encode_dat(events)
    return ENCODERS[format](tuple(event)[:4] for event in events.tolist())
