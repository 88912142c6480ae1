"""Safe access to untrusted HDF5 files: failures become IngestErrors, and links are never followed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from spikewatch.ingest.errors import FormatError, IngestError, MissingDependencyError, TruncatedError
from spikewatch.ingest.hdf5.ecf import ECF_FILTER_ID

MAX_CHUNK_BYTES = 1 << 27
"""Largest accepted size of a decompressed chunk; HDF5 decompresses a chunk as a whole."""

_FILTER_PACKAGES = {
    307: "hdf5plugin",  # bzip2
    32001: "hdf5plugin",  # blosc
    32004: "hdf5plugin",  # lz4
    32008: "hdf5plugin",  # bitshuffle
    32013: "hdf5plugin",  # zfp
    32015: "hdf5plugin",  # zstd
    32026: "hdf5plugin",  # blosc2
    32029: "hdf5plugin",  # htj2k
}
"""PyPI package by filter id. Source: the HDF Group's list of registered filters."""

_OPEN_FOR_WRITING = ("already open for write", "file consistency flags", "unable to lock file")
"""Parts of the messages of the HDF5 library for a file that is being written, or was when its writer died."""


@contextmanager
def translate_hdf5_errors(path: Path) -> Iterator[None]:
    """Translate h5py's exceptions for a damaged file into IngestErrors.

    Raises:
        TruncatedError: the file is shorter than declared.
        FormatError: any other damage.
    """
    try:
        yield
    except (IngestError, FileNotFoundError, PermissionError):
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError) as error:
        if any(words in str(error) for words in _OPEN_FOR_WRITING):
            raise FormatError(
                f"{path} is still open by its writer, or its writer crashed: close it first; "
                f"after a crash, run: h5clear -s {path.name}"
            ) from error
        error_type = TruncatedError if "truncated" in str(error) else FormatError
        raise error_type(f"{path} is a damaged HDF5 file: {error}") from error


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading, with the filters of hdf5plugin registered.

    Raises:
        TruncatedError, FormatError: the file is truncated, or not HDF5.
    """
    import hdf5plugin  # noqa: F401  importing it registers Blosc, Zstandard, LZ4 and others

    with translate_hdf5_errors(path):
        return h5py.File(path, "r", locking="best-effort")


def get_member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """Return the group or dataset that `group` itself contains under `name`, or None.

    Soft and external links are ignored: an uploaded file could point one at any file on this machine.
    """
    key = name.encode()
    if not group.id.links.exists(key) or group.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
        return None
    item = group[name]
    return item if isinstance(item, h5py.Group | h5py.Dataset) else None


def member_names(group: h5py.Group) -> list[str]:
    """Return the names of a group's members, without those that are not UTF-8 (h5py gives bytes)."""
    return [name for name in group if isinstance(name, str)]


def check_readable(dataset: h5py.Dataset) -> None:
    """Check, before anything is read, that a dataset can be read safely and in bounded memory.

    Raises:
        MissingDependencyError: a filter is not installed; the message names it.
        FormatError: the data are in other files, or a chunk exceeds MAX_CHUNK_BYTES.
        TruncatedError: fewer bytes or chunks are stored than the shape needs.
    """
    if dataset.is_virtual or dataset.external:
        raise FormatError(f"{dataset.name} has its data in other files; copy them into one with h5repack")
    for number, name in filter_pipeline(dataset):
        if number != ECF_FILTER_ID and not h5py.h5z.filter_avail(number):
            raise MissingDependencyError(_missing_filter_message(dataset.name, number, name))
    if dataset.chunks is None:
        stored = dataset.id.get_storage_size()
        if stored < dataset.nbytes:
            raise TruncatedError(f"{dataset.name} stores {stored} of its {dataset.nbytes} bytes")
        return
    chunk_bytes = dataset.dtype.itemsize
    chunks = 1
    for length, step in zip(dataset.shape, dataset.chunks, strict=True):
        chunk_bytes *= step
        chunks *= -(-length // step)
    if chunk_bytes > MAX_CHUNK_BYTES:
        raise FormatError(
            f"{dataset.name} has chunks of {chunk_bytes} bytes, more than {MAX_CHUNK_BYTES}; "
            "rewrite it with h5repack and smaller chunks"
        )
    stored = dataset.id.get_num_chunks()
    if stored < chunks:
        raise TruncatedError(f"{dataset.name} stores {stored} of its {chunks} chunks")


def filter_pipeline(dataset: h5py.Dataset) -> list[tuple[int, str]]:
    """Return (id, name) of each filter of a dataset, in the order in which they were applied."""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    return [(number, name.decode(errors="replace")) for number, _, _, name in filters]


def _missing_filter_message(dataset: str, number: int, name: str) -> str:
    package = _FILTER_PACKAGES.get(number)
    remedy = f"run: pip install -U {package or 'hdf5plugin'}"
    if package is None:
        remedy += "; if hdf5plugin lacks it too, rewrite the file with h5repack -f GZIP=4"
    return (
        f"{dataset} is compressed with HDF5 filter {number} ({name or 'unnamed'}), which is not installed; "
        f"{remedy}"
    )
