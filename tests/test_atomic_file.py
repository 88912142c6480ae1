import threading
from pathlib import Path

import pytest

from spikewatch.atomic_file import PARTIAL_PATTERN, atomic_write, temporary_file


def test_file_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with atomic_write(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
        assert list(tmp_path.glob(PARTIAL_PATTERN)) == [partial]
        assert partial.suffix == path.suffix
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def fail_halfway(path: Path) -> None:
    path.write_text("half")
    raise ValueError("half")


def test_error_keeps_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("earlier")
    with pytest.raises(ValueError, match="half"), atomic_write(path) as partial:
        fail_halfway(partial)
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder_is_reported_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "a.json"
    with pytest.raises(FileNotFoundError) as caught, atomic_write(path):
        pass
    assert caught.value.filename == str(path)


def test_threads_write_to_different_temporary_files(tmp_path: Path) -> None:
    names = set[str]()

    def write() -> None:
        with temporary_file(tmp_path / "a.json") as partial:
            names.add(partial.name)

    with temporary_file(tmp_path / "a.json") as partial:
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        assert names.isdisjoint({partial.name})
    assert list(tmp_path.iterdir()) == []


def test_mode_follows_the_umask_after_replacement(tmp_path: Path) -> None:
    path = tmp_path / "a"
    (tmp_path / "usual").touch()
    with atomic_write(path) as partial:
        private = tmp_path / "private"
        private.touch(mode=0o600)
        private.replace(partial)
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode
