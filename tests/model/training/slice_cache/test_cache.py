"""Slice cache: written once, reused, bounded, and rebuilt after damage."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikewatch.model.errors import DatasetError
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.prophesee import PropheseeRecording
from spikewatch.model.training.datasets.prophesee_labels import read_labels
from spikewatch.model.training.slice_cache.cache import (
    CachedRecording,
    CacheOptions,
    PreparedCache,
    build_cache,
)
from spikewatch.model.training.slice_cache.reader import HalfSliceReader
from tests.model.training.support.moving_boxes import SLICE_US, moving_boxes, small_spec

SPEC = small_spec()


@pytest.fixture
def sources(tmp_path: Path) -> list[PropheseeRecording]:
    return [moving_boxes(tmp_path, f"r{k}", seed=k) for k in range(3)]


def prepared(
    sources: Sequence[PropheseeRecording], options: CacheOptions, spec: ModelSpec = SPEC
) -> tuple[PreparedCache, list[float]]:
    shares: list[float] = []
    return build_cache(sources, spec, SLICE_US // 2, options, shares.append), shares


def contents(
    recordings: Sequence[CachedRecording], spec: ModelSpec = SPEC, memory_bytes: int = 0
) -> list[bytes]:
    reader = HalfSliceReader(recordings, spec, memory_bytes)
    return [reader.read(k, 0, 2 * len(each.grid)).tobytes() for k, each in enumerate(recordings)]


def identities(folder: Path) -> dict[str, int]:
    """Return the inodes of the files; a rewritten file has another inode."""
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def test_cache_is_written_once_and_reused(sources: list[PropheseeRecording], tmp_path: Path) -> None:
    options = CacheOptions(tmp_path / "cache")
    first, shares = prepared(sources, options)
    files = identities(options.folder)
    assert len(files) == 3
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])
    again, shares = prepared(sources, options)
    assert identities(options.folder) == files
    assert shares == []
    assert contents(again.recordings) == contents(first.recordings)
    assert len(set(contents(again.recordings))) == 3


def test_other_input_parameters_give_another_file(sources: list[PropheseeRecording], tmp_path: Path) -> None:
    options, one = CacheOptions(tmp_path / "cache"), sources[:1]
    prepared(one, options)
    for number, spec in enumerate(
        (
            small_spec(input_width=64),
            small_spec(slice_us=5_000),
            small_spec(count_cap=7),
            small_spec(count_rule="per_side"),
            small_spec(slices=4),
        ),
        2,
    ):
        prepared(one, options, spec)
        assert len(identities(options.folder)) == number
    prepared(one, options, replace(SPEC, name="other", training="trained"))
    assert len(identities(options.folder)) == number
    labels = read_labels(one[0].labels, 2)
    np.save(one[0].labels, labels[:-2])
    prepared(one, options)
    assert len(identities(options.folder)) == number + 1
    os.utime(one[0].events, ns=(1, 1))
    prepared(one, options)
    assert len(identities(options.folder)) == number + 2


def test_two_processes_write_equal_files(sources: list[PropheseeRecording], tmp_path: Path) -> None:
    alone, _ = prepared(sources, CacheOptions(tmp_path / "alone"))
    spec = replace(SPEC, provenance=type(SPEC.provenance)({"from": "somewhere"}))
    shared, shares = prepared(sources, CacheOptions(tmp_path / "shared", processes=2), spec)
    assert contents(shared.recordings) == contents(alone.recordings)
    assert identities(tmp_path / "alone").keys() == identities(tmp_path / "shared").keys()
    assert shares[-1] == 1


def sizes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("processes", [1, 2])
def test_overflow_is_refused_or_left_out(
    sources: list[PropheseeRecording], tmp_path: Path, processes: int
) -> None:
    prepared(sources, CacheOptions(tmp_path / "whole"))
    limit = sizes(tmp_path / "whole") - 1
    options = CacheOptions(tmp_path / "small", limit, "leave_out", processes)
    some, _ = prepared(sources, options)
    assert [each.source for each in some.recordings] == sources[:2]
    assert some.left_out == (sources[2],)
    assert sizes(options.folder) <= limit
    assert len(list(options.folder.iterdir())) == 2
    with pytest.raises(DatasetError, match="hold 2 of 3 preprocessed recordings; increase cache_bytes"):
        prepared(sources, replace(options, overflow="refuse"))


def test_unneeded_files_are_evicted_oldest_first(sources: list[PropheseeRecording], tmp_path: Path) -> None:
    options = CacheOptions(tmp_path / "cache")
    old, _ = prepared(sources[:2], options)
    for age_s, recording in enumerate(old.recordings):
        os.utime(recording.path, (1000 + age_s, 1000 + age_s))
    limit = sizes(options.folder) + 10_000
    assert not prepared(sources[2:], replace(options, cache_bytes=limit))[0].left_out
    assert [each.path.exists() for each in old.recordings] == [False, True]


def test_stale_temporary_files_are_deleted_after_a_day(tmp_path: Path) -> None:
    options = CacheOptions(tmp_path / "cache")
    source = moving_boxes(tmp_path, "a")
    options.folder.mkdir()
    stale, busy = options.folder / "a.tmp", options.folder / "b.tmp"
    for path in (stale, busy):
        path.touch()
    os.utime(stale, (1000, 1000))
    prepared([source], options)
    assert (stale.exists(), busy.exists()) == (False, True)


def test_truncated_file_is_rebuilt(sources: list[PropheseeRecording], tmp_path: Path) -> None:
    options = CacheOptions(tmp_path / "cache")
    first, _ = prepared(sources, options)
    whole, path = contents(first.recordings), first.recordings[1].path
    for damage in (path.read_bytes()[: path.stat().st_size // 2], b"", b"not HDF5"):
        path.write_bytes(damage)
        again, shares = prepared(sources, options)
        assert shares == [1]
        assert contents(again.recordings) == whole


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_damaged_chunk_is_rebuilt_while_reading(
    sources: list[PropheseeRecording], tmp_path: Path, memory_bytes: int
) -> None:
    options = CacheOptions(tmp_path / "cache")
    first, _ = prepared(sources, options)
    whole, path = contents(first.recordings), first.recordings[1].path
    data = bytearray(path.read_bytes())
    at = data.find(b"\x28\xb5\x2f\xfd", len(data) // 2)  # a Zstandard frame
    data[at + 20] ^= 0xFF
    path.write_bytes(data)
    again, shares = prepared(sources, options)
    assert shares == [], "the header is whole"
    assert contents(again.recordings, SPEC, memory_bytes) == whole
    assert path.read_bytes() != bytes(data)


def test_changed_recording_is_not_rebuilt(sources: list[PropheseeRecording], tmp_path: Path) -> None:
    found, _ = prepared(sources, CacheOptions(tmp_path / "cache"))
    found.recordings[0].path.unlink()
    os.utime(sources[0].events, ns=(1, 1))
    with pytest.raises(DatasetError, match="changed during training"):
        contents(found.recordings)


def test_reads_from_memory_equal_reads_from_files(sources: list[PropheseeRecording], tmp_path: Path) -> None:
    found, _ = prepared(sources, CacheOptions(tmp_path / "cache"))
    whole = contents(found.recordings)
    reader = HalfSliceReader(found.recordings, SPEC, 1 << 30)
    assert [reader.read(k, 0, 48).tobytes() for k in range(3)] == whole
    for each in found.recordings:
        each.path.unlink()
    assert [reader.read(k, 0, 48).tobytes() for k in range(3)] == whole


def test_unlabelled_recordings_are_reported(tmp_path: Path) -> None:
    sources = [moving_boxes(tmp_path, "a"), moving_boxes(tmp_path, "b")]
    np.save(sources[0].labels, read_labels(sources[0].labels, 2)[:0])
    found, _ = prepared(sources, CacheOptions(tmp_path / "cache"))
    assert found.unlabelled == (sources[0],)
    assert [each.source for each in found.recordings] == [sources[1]]
