"""Snapshots of a cluster: of two workers with one session, the later lease wins, without locks."""

from pathlib import Path

import pytest

from spikewatch.service.cluster import epoch_store
from spikewatch.service.cluster.epoch_store import EpochStore, find_orphans, new_term
from spikewatch.service.errors import InvalidSnapshot, SnapshotStoreError


class Worker(EpochStore):
    """A store with leases that the test sets."""

    def __init__(self, folder: Path, max_count: int = 4, max_bytes: int = 1 << 20) -> None:
        super().__init__(folder, max_count, max_bytes)
        self.epochs: dict[str, int] = {}
        self.fenced = 0
        self.use_epochs(self.epochs.get)
        self.on_fenced = self._count

    def _count(self) -> None:
        self.fenced += 1

    def own(self, session: str, epoch: int) -> None:
        self.claim(session, epoch, "{}")
        self.epochs[session] = epoch


def test_terms_are_never_given_twice(tmp_path: Path) -> None:
    assert [new_term(tmp_path) for _ in range(3)] == [1, 2, 3]


def test_later_lease_continues_from_the_snapshot_and_fences_the_earlier(tmp_path: Path) -> None:
    first, second = Worker(tmp_path), Worker(tmp_path)
    first.own("cam", 5)
    first.put("cam", b"one")
    second.own("cam", 9)
    assert second.get("cam") == b"one"
    with pytest.raises(SnapshotStoreError, match="another worker"):
        first.put("cam", b"late")
    with pytest.raises(SnapshotStoreError, match="another worker"):
        first.delete("cam")
    with pytest.raises(SnapshotStoreError, match="another worker"):
        first.claim("cam", 7, "{}")
    assert first.fenced == 3
    second.put("cam", b"two")
    assert first.get("cam") == b"two"
    assert sorted(path.name for path in (tmp_path / "cam").iterdir()) == [
        "0000000000000009.claim",
        "0000000000000009.snapshot",
    ]


def test_a_write_that_slips_in_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Worker(tmp_path), Worker(tmp_path)
    first.own("cam", 5)
    first.put("cam", b"one")
    write = epoch_store._write

    def late(path: Path, *parts: bytes) -> None:
        """The other worker claims after the check of the first one."""
        monkeypatch.setattr(epoch_store, "_write", write)
        second.own("cam", 9)
        write(path, *parts)

    monkeypatch.setattr(epoch_store, "_write", late)
    first.put("cam", b"slipped in")
    assert second.get("cam") == b"one"


def test_orphans_are_sessions_that_did_not_end(tmp_path: Path) -> None:
    store = Worker(tmp_path)
    new_term(tmp_path)
    store.own("open", 5)
    store.own("saved", 6)
    store.put("saved", b"state")
    store.disclaim("saved", 6)
    assert find_orphans(tmp_path, set()) == {"open": "{}"}
    assert find_orphans(tmp_path, {"open"}) == {}
    assert (store.exists("saved"), store.exists("open")) == (True, False)
    store.delete("saved")
    assert not (tmp_path / "saved").exists()


def test_oldest_saved_session_is_evicted_and_open_ones_never(tmp_path: Path) -> None:
    store, other = Worker(tmp_path, max_count=3), Worker(tmp_path, max_count=3)
    for epoch, session in enumerate(("a", "b"), 1):
        store.own(session, epoch)
        store.put(session, b"state")
        store.disclaim(session, epoch)
    other.own("elsewhere", 3)
    other.put("elsewhere", b"state")
    for epoch, (session, evicted) in enumerate((("d", ["a"]), ("e", ["b"])), 4):
        store.own(session, epoch)
        assert store.put(session, b"state") == evicted
    store.own("f", 7)
    with pytest.raises(SnapshotStoreError, match="no room"):
        store.put("f", b"state")


def test_damaged_snapshot_is_rejected(tmp_path: Path) -> None:
    store = Worker(tmp_path)
    store.own("cam", 5)
    store.put("cam", b"state")
    (file,) = (tmp_path / "cam").glob("*.snapshot")
    file.write_bytes(file.read_bytes() + b"!")
    with pytest.raises(InvalidSnapshot, match="checksum"):
        store.get("cam")
    assert store.get("../cam") is None
