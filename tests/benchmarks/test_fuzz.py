"""The fuzz bench: its corpus passes, its oracles can fail, and a bounded run of each target finds nothing."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.fuzz.corpus import aedat4_seeds, decoder_seeds, ecf_seeds, label_seeds, protocol_seeds
from benchmarks.fuzz.run import CORPUS, fuzz_target
from benchmarks.fuzz.targets import TARGETS, decoders, make_target

IN_PROCESS = ("dat", "evt2", "evt21", "evt3", "ecf", "hdf5", "aedat4_packets", "npy_labels", "coco")
INPUTS = {"snapshot": 100, "aedat4": 5, "http": 1000, "websocket": 1000}
"""Inputs of slow targets; the others get 2,000."""

needs_atheris = pytest.mark.skipif(find_spec("atheris") is None, reason="needs atheris (Linux on x86-64)")


@pytest.mark.parametrize("name", IN_PROCESS)
def test_corpus_passes(name: str) -> None:
    target = make_target(name)
    files = sorted((CORPUS / name).iterdir())
    assert files
    for file in files:
        target(file.read_bytes())


def test_corpus_is_what_its_script_writes() -> None:
    packets = {"aedat4": aedat4_seeds(), "aedat4_packets": aedat4_seeds()}
    written = {**decoder_seeds(), "ecf": ecf_seeds(), **packets, **label_seeds(), **protocol_seeds()}
    for name, inputs in written.items():
        stored = [(CORPUS / name / f"seed-{number}").read_bytes() for number in range(len(inputs))]
        assert stored == inputs, name
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("format", ["dat", "evt2", "evt21", "evt3"])
def test_lost_event_fails_the_decoder_target(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count_events = decoders.count_events
    monkeypatch.setattr(decoders, "count_events", lambda *stream: count_events(*stream) + 1)
    with pytest.raises(AssertionError, match="events in"):
        make_target(format)((CORPUS / format / "seed-0").read_bytes())


def test_target_that_raises_is_a_finding(tmp_path: Path) -> None:
    report = fuzz_target("no-such-target", 1, tmp_path)
    assert report.finding is not None
    assert "exit status 1" in report.finding


@needs_atheris
@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_bounded_run_finds_nothing(name: str, tmp_path: Path) -> None:
    inputs = INPUTS.get(name, 2000)
    report = fuzz_target(name, 60, tmp_path, inputs, seed=1)
    assert report.finding is None, report.log
    assert report.inputs >= min(inputs, 5)
