"""Snapshots in a directory: whole or not at all, checked, bounded."""

import os
from pathlib import Path

import pytest

from spikewatch.service.errors import InvalidSettings, InvalidSnapshot, SnapshotStoreError
from spikewatch.service.settings import MIB, Settings
from spikewatch.service.snapshots.store import DirectoryStore, make_store

LINE = len("spikewatch-snapshot sha256=") + 64 + 1


def store(folder: Path, max_count: int = 3, max_bytes: int = 1000) -> DirectoryStore:
    return DirectoryStore(folder / "deep" / "snapshots", max_count, max_bytes)


def aged(folder: Path, *ids: str) -> None:
    """Give files times in this order, since a file system's clock may be coarse."""
    for i, session_id in enumerate(ids):
        os.utime(folder / "deep/snapshots" / f"{session_id}.snapshot", (i, i))


def test_stored_snapshot_is_read_by_another_process(tmp_path: Path) -> None:
    first = store(tmp_path)
    assert first.get("a") is None
    assert not first.exists("a")
    first.put("a", b"one")
    first.put("a", b"two")
    first.put("b", b"")
    with pytest.raises(
        InvalidSettings, match=rf"belongs to another running service \(epoch=1 pid={os.getpid()}"
    ):
        store(tmp_path)
    first.close()
    second = store(tmp_path)
    assert (second.get("a"), second.get("b"), second.exists("a")) == (b"two", b"", True)
    second.delete("a")
    second.delete("never")
    assert first.get("a") is None


@pytest.mark.parametrize("session_id", ["../a", "a/b", "", "x" * 129, "a.b", "a\n", "é"])
def test_invalid_id_stays_within_the_directory(tmp_path: Path, session_id: str) -> None:
    snapshots = store(tmp_path)
    (tmp_path / "deep" / "a.snapshot").write_bytes(b"secret")
    assert snapshots.get(session_id) is None
    assert not snapshots.exists(session_id)
    snapshots.delete(session_id)
    with pytest.raises(ValueError, match="invalid session id"):
        snapshots.put(session_id, b"")
    assert (tmp_path / "deep" / "a.snapshot").exists()


def test_oldest_snapshot_is_evicted_at_count_and_byte_limit(tmp_path: Path) -> None:
    snapshots = store(tmp_path, max_count=3, max_bytes=3 * (LINE + 100))
    for session_id in "abc":
        snapshots.put(session_id, bytes(10))
    aged(tmp_path, "b", "a", "c")
    assert snapshots.put("a", bytes(100)) == [], "its own earlier one does not count"
    aged(tmp_path, "b", "a", "c")
    assert snapshots.put("d", bytes(100)) == ["b"]
    assert [x for x in "abcd" if snapshots.exists(x)] == ["a", "c", "d"]
    aged(tmp_path, "a", "c", "d")
    assert snapshots.put("e", bytes(LINE + 200)) == ["a", "c"]
    assert [x for x in "acde" if snapshots.exists(x)] == ["d", "e"]
    with pytest.raises(SnapshotStoreError, match="the store holds at most"):
        snapshots.put("d", bytes(2000), protected={"e"})
    assert snapshots.get("d") == bytes(100), "the earlier one stays"
    assert snapshots.exists("e")


def test_protected_snapshots_are_never_evicted(tmp_path: Path) -> None:
    snapshots = store(tmp_path, max_count=3, max_bytes=3 * (LINE + 100))
    for session_id in "abc":
        snapshots.put(session_id, bytes(100))
    aged(tmp_path, "a", "b", "c")
    assert snapshots.put("d", bytes(100), protected={"a"}) == ["b"]
    aged(tmp_path, "a", "c", "d")
    with pytest.raises(SnapshotStoreError, match="open sessions"):
        snapshots.put("e", bytes(LINE + 200), protected={"a", "c"})
    with pytest.raises(SnapshotStoreError, match="open sessions"):
        snapshots.put("e", b"", protected={"a", "c", "d"})
    assert [x for x in "acde" if snapshots.exists(x)] == ["a", "c", "d"], "nothing went in vain"
    assert list(tmp_path.rglob("*.part")) == []


def test_store_smaller_than_all_sessions_is_rejected(tmp_path: Path) -> None:
    def made(count: int, max_bytes: int, folder: Path | None = tmp_path) -> bool:
        limits = {"snapshot_max_count": count, "snapshot_max_bytes": max_bytes, "max_sessions": 8}
        return make_store(Settings(snapshot_dir=folder, **limits), MIB) is not None

    assert made(8, 8 * MIB)
    with pytest.raises(InvalidSettings, match="snapshot_max_count is 7, fewer than max_sessions, 8"):
        made(7, 8 * MIB)
    with pytest.raises(InvalidSettings, match="snapshot_max_bytes is 8388607"):
        made(8, 8 * MIB - 1)
    assert not made(7, MIB, folder=None), "where nothing is saved, nothing is asked for"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[:-1], "checksum"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "checksum"),
        (lambda data: data[:40], "checksum"),
        (lambda data: b"", "does not begin with its SHA-256 line"),
        (lambda data: b"x" + data, "does not begin with its SHA-256 line"),
    ],
)
def test_corrupt_snapshot_file_is_rejected(tmp_path: Path, spoil: object, words: str) -> None:
    snapshots = store(tmp_path)
    snapshots.put("a", b"all of it")
    path = tmp_path / "deep/snapshots/a.snapshot"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InvalidSnapshot, match=words):
        snapshots.get("a")


def test_partial_write_is_ignored_and_removed(tmp_path: Path) -> None:
    snapshots = store(tmp_path)
    snapshots.put("a", b"good")
    part = tmp_path / "deep/snapshots/a.123.part"
    part.write_bytes(b"spikewatch-snapshot sha2")
    assert snapshots.get("a") == b"good"
    snapshots.close()
    again = store(tmp_path)
    assert again.get("a") == b"good"
    assert not part.exists()


def test_full_disk_keeps_the_previous_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = store(tmp_path)
    snapshots.put("a", b"good")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        snapshots.put("a", b"better")
    assert snapshots.get("a") == b"good"
    assert {p.name for p in (tmp_path / "deep/snapshots").iterdir()} == {"a.snapshot", "owner"}


def test_owner_that_lost_its_folder_writes_nothing_more(tmp_path: Path) -> None:
    """As on a network file system whose locks do not reach other machines."""
    older = store(tmp_path)
    older.put("a", b"one")
    (tmp_path / "deep/snapshots/owner").unlink()
    newer = store(tmp_path)
    newer.put("a", b"two")
    (tmp_path / "deep/snapshots/owner").write_text("epoch=7 pid=1 host=elsewhere\n")
    for loser in (older, newer):
        with pytest.raises(SnapshotStoreError, match="belongs to another service now"):
            loser.put("a", b"three")
        with pytest.raises(SnapshotStoreError, match="belongs to another service now"):
            loser.delete("a")
    assert newer.get("a") == b"two"
