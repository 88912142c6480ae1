"""The object cache: objects are code, so only what this user wrote, undamaged, is used."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from spikewatch.model.runtime.compiled import object_cache
from spikewatch.model.runtime.compiled.object_cache import ObjectCache
from spikewatch.model.runtime.compiled.options import CompileOptions


class Compiler:
    """Counts how often it runs."""

    def __init__(self, code: bytes = b"machine code") -> None:
        self.code, self.runs = code, 0

    def __call__(self) -> bytes:
        self.runs += 1
        return self.code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a" / "kernels"


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_object_is_compiled_once(folder: Path) -> None:
    first, second = Compiler(), Compiler(b"other")
    assert ObjectCache(folder).get_or_create("x", first) == b"machine code"
    assert ObjectCache(folder).get_or_create("x", second) == b"machine code"
    assert (first.runs, second.runs) == (1, 0)
    assert ObjectCache(folder).get_or_create("y", second) == b"other"
    assert len(files(folder)) == 2


def test_folder_and_files_are_private(folder: Path) -> None:
    before = os.umask(0)
    try:
        ObjectCache(folder).get_or_create("x", Compiler())
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in files(folder)] == [0o600]


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def let_others_write(path: Path) -> None:
    path.chmod(0o620)


def replace_by_link(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere.o"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def replace_by_another_object(path: Path) -> None:
    ObjectCache(path.parent).get_or_create("another", Compiler(b"foreign"))
    (other,) = (each for each in path.parent.iterdir() if each != path)
    other.replace(path)


@pytest.mark.parametrize(
    "harm",
    [flip_a_bit, truncate, empty, let_others_write, replace_by_link, replace_by_another_object],
    ids=lambda harm: harm.__name__,
)
def test_unsafe_object_is_compiled_again_and_replaced(
    harm: Callable[[Path], None], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ObjectCache(folder).get_or_create("x", Compiler())
    (path,) = files(folder)
    harm(path)
    again = Compiler(b"compiled anew")
    with caplog.at_level("WARNING", "spikewatch.runtime"):
        assert ObjectCache(folder).get_or_create("x", again) == b"compiled anew"
    assert again.runs == 1
    assert [record.message for record in caplog.records] == ["a cached kernel is not used"]
    assert ObjectCache(folder).get_or_create("x", Compiler()) == b"compiled anew"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o702])
def test_folder_open_to_others_is_not_used(mode: int, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir(parents=True)
    folder.chmod(mode)
    compiler = Compiler()
    for _ in range(2):
        assert ObjectCache(folder).get_or_create("x", compiler) == b"machine code"
    assert compiler.runs == 2
    assert not files(folder)
    assert "chmod go=" in str(caplog.records[-1].__dict__["reason"])


def test_folder_that_is_a_link_is_not_used(folder: Path, tmp_path: Path) -> None:
    folder.parent.mkdir()
    (tmp_path / "target").mkdir(0o700)
    folder.symlink_to(tmp_path / "target")
    compiler = Compiler()
    ObjectCache(folder).get_or_create("x", compiler)
    assert not files(tmp_path / "target")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_objects_of_another_user_are_not_used(folder: Path) -> None:
    ObjectCache(folder).get_or_create("x", Compiler())
    os.chown(files(folder)[0], 12345, -1)
    again = Compiler(b"mine")
    assert ObjectCache(folder).get_or_create("x", again) == b"mine"
    os.chown(folder, 12345, -1)
    assert ObjectCache(folder).get_or_create("x", again) == b"mine"
    assert again.runs == 2


def test_cache_without_folder_compiles_each_time() -> None:
    compiler = Compiler()
    for _ in range(2):
        ObjectCache(None).get_or_create("x", compiler)
    assert compiler.runs == 2


def test_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    compiler = Compiler()
    assert ObjectCache(tmp_path / "file" / "kernels").get_or_create("x", compiler) == b"machine code"


def test_least_recently_used_objects_are_evicted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_cache, "MAX_FILES", 3)
    cache = ObjectCache(folder)
    for i in range(3):
        cache.get_or_create(str(i), Compiler())
        for path in files(folder):
            status = path.stat()
            os.utime(path, (status.st_atime - 10, status.st_mtime - 10))
    cache.get_or_create("0", Compiler())
    cache.get_or_create("3", Compiler())
    assert len(files(folder)) == 3
    kept = {name: Compiler() for name in ("0", "2", "3")}
    for name, compiler in kept.items():
        cache.get_or_create(name, compiler)
    assert [compiler.runs for compiler in kept.values()] == [0, 0, 0]
    monkeypatch.setattr(object_cache, "MAX_BYTES", 300)
    cache.get_or_create("4", Compiler())
    assert sum(path.stat().st_size for path in files(folder)) <= 300


def test_concurrent_writers_leave_one_whole_object(folder: Path) -> None:
    code = os.urandom(1 << 20)
    threads = [
        threading.Thread(target=ObjectCache(folder).get_or_create, args=("x", Compiler(code)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files(folder)) == 1
    assert ObjectCache(folder).get_or_create("x", Compiler()) == code


def test_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPIKEWATCH_KERNEL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert CompileOptions.from_environment().cache_folder == tmp_path / "spikewatch" / "kernels"
    monkeypatch.setenv("SPIKEWATCH_KERNEL_CACHE", str(tmp_path / "other"))
    assert CompileOptions.from_environment().cache_folder == tmp_path / "other"
    monkeypatch.setenv("SPIKEWATCH_KERNEL_CACHE", "off")
    assert CompileOptions.from_environment().cache_folder is None
