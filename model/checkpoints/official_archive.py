"""Zip container of an official checkpoint, validated before its content is interpreted.

torch.save stores entries uncompressed, so the declared sizes are checked against the length of the file. This
excludes zip bombs. Checksums are verified, so that damage is reported as damage.
"""

import re
import zipfile
from pathlib import Path

from spikewatch.model.errors import CheckpointError

MAX_BYTES = 2 * 1024**3
MAX_PICKLE_BYTES = 64 * 1024**2
MAX_ENTRIES = 20_000

_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = re.compile(rb"\x80[\x02-\x05]")
_STORAGE = re.compile(r"data/(0|[1-9][0-9]*)")
_OTHER_ENTRIES = {"data.pkl", "version", "byteorder", ".format_version", ".storage_alignment"} | {
    ".data/serialization_id"
}


def read_checked_pickle(path: Path) -> bytes:
    """Read `data.pkl` of a torch.save file.

    Raises:
        CheckpointError: the file is missing, not a zip of torch.save, damaged, or larger than the limits
            above, or it declares more bytes than it holds.
    """
    try:
        size, start = path.stat().st_size, _read_magic(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except OSError as error:
        raise CheckpointError(f"{path}: not a readable file ({error.strerror})") from error
    if _PICKLE_MAGIC.match(start):
        raise CheckpointError(
            f"{path}: a bare pickle (torch.save before 1.6), expected a zip;"
            " reading it would run its code: ask its author to save it again with a current PyTorch"
        )
    if start != _ZIP_MAGIC:
        raise CheckpointError(f"{path}: not a zip file of torch.save; expected an official .pt checkpoint")
    if size > MAX_BYTES:
        raise CheckpointError(f"{path}: {size:,} bytes, expected at most {MAX_BYTES:,}")
    try:
        with zipfile.ZipFile(path) as archive:
            name = _check_entries(path, archive.infolist(), size)
            damaged = archive.testzip()
            data = archive.read(name) if damaged is None else b""
    except CheckpointError:
        raise
    except Exception as error:  # zipfile raises many types of errors for damaged zips
        raise CheckpointError(f"{path}: a damaged or truncated zip ({error}); download it again") from error
    if damaged is not None:
        raise CheckpointError(
            f"{path}: {damaged[:80]!r} does not match its checksum; download the file again"
        )
    return data


def _read_magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_ZIP_MAGIC))


def _check_entries(path: Path, entries: list[zipfile.ZipInfo], file_bytes: int) -> str:
    """Check that every entry is one that torch.save writes, and return the name of the pickle."""
    if not 1 <= len(entries) <= MAX_ENTRIES:
        raise CheckpointError(f"{path}: {len(entries):,} entries, expected 1 to {MAX_ENTRIES:,}")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise CheckpointError(
                f"{path}: entry {entry.filename[:80]!r} is compressed, which torch.save never does"
            )
    declared = sum(entry.file_size for entry in entries)
    if declared > file_bytes:
        raise CheckpointError(f"{path}: declares {declared:,} bytes but holds {file_bytes:,}")
    folder = entries[0].filename.split("/", 1)[0]
    names = [entry.filename.removeprefix(f"{folder}/") for entry in entries]
    if "constants.pkl" in names:
        raise CheckpointError(f"{path}: a TorchScript program, expected a checkpoint of torch.save")
    # duplicates are rejected, because torch's zip library ignores case and would read one of them
    unknown = [n for n in names if n not in _OTHER_ENTRIES and not _STORAGE.fullmatch(n)]
    if unknown or len(set(names)) < len(names) or "data.pkl" not in names:
        reason = f"unknown entry {unknown[0][:80]!r}" if unknown else "a name twice, or no data.pkl"
        raise CheckpointError(f"{path}: not a zip of torch.save: {reason}")
    pickle = entries[names.index("data.pkl")]
    if pickle.file_size > MAX_PICKLE_BYTES:
        raise CheckpointError(
            f"{path}: data.pkl has {pickle.file_size:,} bytes, expected at most {MAX_PICKLE_BYTES:,}"
        )
    return pickle.filename
