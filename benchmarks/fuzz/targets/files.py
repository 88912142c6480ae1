"""Targets of the readers of files: ECF chunks, HDF5 and AEDAT4. Only errors of the reader may come out."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.fuzz.targets import Target
from spikewatch.ingest.aedat4.packets import scan_packets
from spikewatch.ingest.aedat4.recording import Aedat4Recording
from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.hdf5.attributes import read_attributes
from spikewatch.ingest.hdf5.ecf import decode_ecf
from spikewatch.ingest.hdf5.recording import Hdf5Recording

MAX_EVENTS = 1 << 20
"""Events after which a file is left: a few bytes of a compressed file can hold any number."""


def with_file(read: Callable[[Path], None]) -> Target:
    """Return a target that writes its input to a file in memory and calls `read` with the path."""
    descriptor = os.memfd_create("fuzz")
    path = Path(f"/proc/self/fd/{descriptor}")

    def run(data: bytes) -> None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, data, 0)
        read(path)

    return run


def ecf() -> Target:
    """Return the target of ECF chunks, the event compression of Metavision's HDF5 files."""

    def run(data: bytes) -> None:
        try:
            events = decode_ecf(data)
        except IngestError:
            return
        assert len(events) == int.from_bytes(data[:4], "little") >> 2
        assert (np.diff(events["t"]) >= 0).all(), "times of one chunk run backwards"
        assert (events["p"] <= 1).all()

    return run


def hdf5() -> Target:
    """Return the target of HDF5 files, read in this process as the command line does."""

    def read(path: Path) -> None:
        try:
            with Hdf5Recording(path, 320, 240, attribute_reader=read_attributes) as recording:
                read_rows = 0
                for events in recording.chunks(1 << 14):
                    read_rows += len(events)
                    if read_rows > MAX_EVENTS:
                        return
                assert recording.stats.events == read_rows, "delivered events are counted wrong"
        except IngestError:
            return

    return with_file(read)


def aedat4_packets() -> Target:
    """Return the target of the scan of AEDAT4 packets, the part of that reader which is not a library's."""

    def read(path: Path) -> None:
        try:
            scan = scan_packets(path)
        except IngestError:
            return
        assert 0 <= scan.complete_packets <= path.stat().st_size // 16

    return with_file(read)


def aedat4() -> Target:
    """Return the target of whole AEDAT4 files; a child process reads each, so few are tried a second."""
    descriptor = os.memfd_create("fuzz")
    path = Path(f"/proc/{os.getpid()}/fd/{descriptor}")

    def run(data: bytes) -> None:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, data, 0)
        try:
            with Aedat4Recording(path, 320, 240) as recording:
                delivered = sum(len(events) for events in recording.chunks())
                assert recording.stats.events == delivered, "delivered events are counted wrong"
        except IngestError:
            return

    return run
