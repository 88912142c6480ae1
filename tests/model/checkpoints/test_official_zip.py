"""Zip files that torch.save never writes are rejected with a one-line message."""

import zipfile
from pathlib import Path

import pytest

from tests.model.support.official_files import program, refused


def zip_with(path: Path, entries: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    return path


GOOD = {"a/data.pkl": program(b"}"), "a/byteorder": b"little"}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"a/x": b""}, "unknown entry 'x'"),
        ({"a/version": b"3"}, "no data.pkl"),
        (GOOD | {"b/data/0": b""}, "unknown entry 'b/data/0'"),
        (GOOD | {"a/data/../0": b""}, "unknown entry"),
        (GOOD | {"a/data/x": b""}, "unknown entry"),
        (GOOD | {"a/DATA.PKL": b""}, "unknown entry 'DATA.PKL'"),
        (GOOD | {"a/constants.pkl": b""}, "TorchScript"),
        (GOOD | {f"a/data/{i}": b"" for i in range(20_001)}, "20,003 entries"),
        (GOOD | {"a/byteorder": b"middle"}, "cannot be read"),
    ],
)
def test_zips_not_written_by_torch_save_are_rejected(
    entries: dict[str, bytes], words: str, tmp_path: Path
) -> None:
    refused(zip_with(tmp_path / "x.pt", entries), words)


def test_zip_bombs_are_rejected(tmp_path: Path) -> None:
    bomb = GOOD | {"a/data/0": b"\0" * (1 << 24)}
    refused(zip_with(tmp_path / "x.pt", bomb, zipfile.ZIP_DEFLATED), "is compressed")
    path = zip_with(tmp_path / "y.pt", GOOD | {"a/data/0": b"\0" * 64})
    data = path.read_bytes()
    central = data.rindex(b"PK\x01\x02")
    huge = (0x7FFFFFFF).to_bytes(4, "little") * 2
    path.write_bytes(data[: central + 20] + huge + data[central + 28 :])
    refused(path, r"declares 2,147,483,\d+ bytes but holds")
    refused(zip_with(tmp_path / "z.pt", GOOD | {"a/data.pkl": b"\0" * (64 * 1024**2 + 1)}), "data.pkl has")
    with (tmp_path / "w.pt").open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(2 * 1024**3 + 1)
    refused(tmp_path / "w.pt", "expected at most 2,147,483,648")


def test_duplicate_entry_is_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("a/data.pkl", program(b"}"))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", program(b"N"))
    refused(tmp_path / "x.pt", "a name twice")
