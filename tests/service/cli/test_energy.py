"""`spikewatch energy` and `spikewatch init`, as a user runs them."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from tests.service.support.console import Done
from tests.service.support.live import dat_file


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("energy") / "street_td.dat"
    path.write_bytes(dat_file(6))
    return path


@pytest.fixture(scope="module")
def weights(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("energy") / "small.safetensors"
    save_checkpoint(path, detector.network, detector.spec)
    return path


def test_every_form_of_the_report_says_the_same(
    recording: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    outs = {ending: tmp_path / f"e{ending}" for ending in (".csv", ".json", ".png")}
    done = run("energy", recording, "--weights", weights, *(x for p in outs.values() for x in ("-o", p)))
    assert done.status == 0, done.err
    assert "untrained" in done.out
    report = json.loads(outs[".json"].read_text())
    assert report["training"] == "untrained"
    sums = report["totals"]
    assert (sums["slices"], sums["d_max"], sums["windows"]) == (4, 4, 1.5)
    with outs[".csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == [layer["layer"] for layer in report["layers"]]
    assert len(rows) == 89
    for total in ("ac", "ac_formula", "mac", "snn_mj", "snn_exact_mj", "ann_mj"):
        assert sum(float(row[total]) for row in rows) == pytest.approx(sums[total])
    assert 0 < sums["snn_exact_mj"] < sums["snn_mj"] < sums["ann_mj"]
    assert f"{sums['snn_mj']:.3f} mJ spiking by the formula" in done.out
    with Image.open(outs[".png"]) as plot:
        assert plot.width > 1000
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in outs.values()}


def test_the_run_is_that_of_detect(recording: Path, weights: Path, run: Callable[..., Done]) -> None:
    """The energy of all slices, counted on the way to boxes and counted for the report."""
    detected = json.loads(run("detect", recording, "--weights", weights, "--json").out)["energy_mj"]
    sums = json.loads(run("energy", recording, "--weights", weights, "--json").out)["totals"]
    assert sums["snn_mj"] * sums["windows"] == pytest.approx(detected["snn"])
    assert sums["ann_mj"] * sums["windows"] == pytest.approx(detected["ann"])


def test_modes_and_costs(recording: Path, weights: Path, run: Callable[..., Done]) -> None:
    def sums(*options: object) -> dict[str, float]:
        found: dict[str, float] = json.loads(
            run("energy", recording, "--weights", weights, "--json", *options).out
        )["totals"]
        return found

    plain = sums()
    assert sums("--mode", "spike") == plain
    dear = sums("--ac-pj", 1.8, "--mac-pj", 9.2)
    assert dear["snn_mj"] == pytest.approx(2 * plain["snn_mj"])
    assert (dear["ann_mj"], dear["ac"]) == (pytest.approx(2 * plain["ann_mj"]), plain["ac"])
    assert sums("--slices", 2)["windows"] == 3
    assert sums("--window", "paper", "--slices", 8)["windows"] == 1.25 / 8 * 1.6


def test_hardware_adds_neurons_memory_and_power(
    recording: Path, weights: Path, run: Callable[..., Done]
) -> None:
    done = run("energy", recording, "--weights", weights, "--hardware", "loihi", "--hardware", "45nm-memory")
    assert done.status == 0, done.err
    assert "Davies et al., IEEE Micro" in " ".join(done.out.split())
    found = json.loads(
        run(
            "energy", recording, "--weights", weights, "--hardware", "all", "--json", "--slice-us", 50_000
        ).out
    )
    rows = {row["hardware"]: row for row in found["hardware"]}
    assert list(rows) == ["45nm-neurons", "45nm-memory", "loihi", "truenorth", "odin"]
    assert rows["45nm-neurons"]["synapses_mj"] == pytest.approx(found["totals"]["snn_exact_mj"])
    assert rows["45nm-neurons"]["ann_mj"] == pytest.approx(found["totals"]["ann_mj"])
    window_s = found["totals"]["slices"] * 0.05
    assert rows["loihi"]["power_mw"] == pytest.approx(rows["loihi"]["total_mj"] / window_s)
    assert found["totals"]["joules_day"] == pytest.approx(found["totals"]["snn_mj"] / window_s * 86.4)


def test_without_matplotlib_it_says_what_to_install(
    recording: Path, weights: Path, tmp_path: Path, run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "spikewatch.service.reports.energy", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    done = run("energy", recording, "--weights", weights, "-o", tmp_path / "e.png")
    assert done.status == 1
    assert "pip install 'spikewatch[plot]'" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["energy", "{good}", "-o", "x.mp4"], 2, "the ending must be one of .csv, .json, .png"),
        (["energy", "{good}", "--window", "code", "--slice-us", "5000"], 2, "not both"),
        (["energy", "{good}", "--ac-pj", "-1"], 2, "ac-pj"),
        (["energy", "{good}", "--hardware", "loihi3"], 2, "'loihi3' is unknown; known are 45nm-neurons"),
        (["energy", "{good}", "--mac-pj", "inf"], 2, "costs are finite"),
        (["init", "{tmp}/w.safetensors", "--size", "32x99999968"], 1, "from 32 to 2048"),
        (["energy", "/nowhere/x.dat"], 1, "/nowhere/x.dat: No such file or directory"),
        (["init", "{tmp}/w.safetensors", "--row", "table9/x"], 1, "no row 'table9/x'"),
        (["init", "{tmp}/w.safetensors", "--scale", "q"], 1, "scale 'q' is unknown; known are t, n, s, m, l"),
        (["init", "{tmp}/w.safetensors", "--size", "100x100"], 1, "multiples of 32"),
        (["init", "{tmp}/w.safetensors", "--size", "big"], 1, "expected HEIGHTxWIDTH"),
        (["init", "{tmp}/w.safetensors", "--class-names", "a,a"], 1, "only once"),
        (["init", "-o", "{tmp}/w.safetensors", "--size", "100x100"], 1, "multiples of 32"),
        (["init", "{tmp}/w.safetensors", "-o", "{tmp}/v.safetensors"], 2, "give one of them"),
        (["init", "/nowhere/w.safetensors"], 2, "there is no folder /nowhere"),
    ],
)
def test_errors_are_one_clear_line(
    recording: Path, tmp_path: Path, run: Callable[..., Done], arguments: list[str], status: int, words: str
) -> None:
    done = run(*(a.format(good=recording, tmp=tmp_path) for a in arguments))
    assert (done.status, "Traceback" in done.err) == (status, False), done.err
    assert words in " ".join(done.err.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


def test_a_row_of_the_paper_becomes_weights_that_run(
    recording: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    path = tmp_path / "mine.safetensors"
    wish = ("--row", "table4/s-2x4", "--scale", "t", "--size", "64x96", "--head", "anchor_based")
    done = run("init", path, *wish)
    assert done.status == 0, done.err
    assert "mine-untrained" in done.out
    found = json.loads(run("energy", recording, "--weights", path, "--json").out)
    assert (found["model"], found["training"]) == ("mine-untrained", "untrained")
    assert (found["totals"]["slices"], found["totals"]["d_max"]) == (2, 4)
    listed = run("init", "--row", "list")
    assert listed.status == 0
    assert "table5/transformer" in listed.out
