"""`spikewatch evaluate`, as a user runs it, on the bundled recording and on three pictures."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikewatch.model.checkpoints.checkpoint import load_checkpoint, load_detector, save_checkpoint
from spikewatch.model.prophesee_boxes import to_prophesee
from spikewatch.model.training.datasets.prophesee import PropheseeRecording
from spikewatch.model.training.datasets.prophesee_labels import GEN1_FILTER
from spikewatch.model.training.datasets.window_bounds import WindowSpec
from spikewatch.model.training.evaluation.box_selection import DEFAULT_CONFIDENCE, DEFAULT_IOU
from spikewatch.model.training.evaluation.window_runner import RUNNERS, LabelledRun
from tests.service.support.console import Done
from tests.service.support.evaluation_data import ASSETS, coco_folder, init, picture_network


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "events.safetensors"
    return init(path, "--representation", "latest_polarity", "--slices", "2")


@pytest.fixture(scope="module")
def picture_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_network(tmp_path_factory.mktemp("weights") / "pictures.safetensors")


@pytest.fixture(scope="module")
def gen1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gen1")
    (folder / "test").mkdir()
    for name in ("street_td.dat", "street_bbox.npy"):
        shutil.copy(ASSETS / name, folder / "test" / name)
    return folder


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco_folder(tmp_path_factory.mktemp("coco"))


def test_a_recording_with_both_states(
    gen1: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    done = run("evaluate", gen1, "--weights", weights, "--out", tmp_path / "r.json")
    assert done.status == 0, done.err
    report = json.loads((tmp_path / "r.json").read_text())
    kept = GEN1_FILTER.apply(np.load(ASSETS / "street_bbox.npy"))
    assert (report["labelled"], report["images"]) == (len(kept), len(np.unique(kept["t"])))
    assert (report["kind"], report["split"], report["state"]) == ("prophesee", "test", "reset")
    assert (report["sources"], report["windows"], report["slices"]) == (1, report["images"], 2)
    assert report["classes"]["car"]["labelled"] == (kept["class_id"] == 0).sum()
    assert report["training"] == "untrained"
    assert 0 < report["energy_mj"]["snn"] < report["energy_mj"]["ann"]
    for words in ("AP50", "car", "pedestrian", "2 x 4", "reset", "a window", "untrained"):
        assert words in done.out
    row = next(line.split() for line in done.out.splitlines() if line.split()[:3] == ["2", "x", "4"])
    assert row[3:6] == [
        f"{report['firing_rate']:.1%}",
        f"{report['energy_mj']['snn']:.3f}",
        f"{report['energy_mj']['ann']:.3f}",
    ]

    carried = run("evaluate", gen1 / "test", "--weights", weights, "--state", "carry", "--json")
    carried_report = json.loads(carried.out)
    assert (carried_report["state"], carried_report["images"]) == ("carry", report["images"])
    assert carried_report["windows"] == 4 * 12 / 2  # four slices in each of twelve quarter seconds
    assert (
        carried_report["found"] != report["found"] or carried_report["firing_rate"] != report["firing_rate"]
    )


@pytest.mark.parametrize("state", ["carry", "reset"])
def test_its_own_boxes_as_labels_score_one(
    state: str, gen1: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    """The whole way from events to the score: only the very same boxes at the very same times give 100 %."""
    detector = load_detector(str(weights), runtime="auto")
    each = PropheseeRecording(gen1 / "test" / "street_td.dat", tmp_path / "street_bbox.npy")
    times = [510_000, 750_000, 790_000, 1_200_003]  # of two near labels, each is met by its own boxes only
    cut = WindowSpec(2, detector.spec.slice_us)
    with each.open() as recording:
        size = recording.sensor_size()
    found = [
        to_prophesee(detector.postprocess(end.logits, size, end.label_us, DEFAULT_CONFIDENCE, DEFAULT_IOU))
        for ran in RUNNERS[state](detector, [LabelledRun(each, times)], cut)
        for end in ran.completed
    ]
    np.save(each.labels, np.concatenate(found))
    shutil.copy(each.events, tmp_path)
    report = json.loads(run("evaluate", tmp_path, "--weights", weights, "--state", state, "--json").out)
    assert report["labelled"] == report["found"] == len(GEN1_FILTER.apply(np.concatenate(found))) > 0
    assert report["ap"] == pytest.approx(1)
    other = {"carry": "reset", "reset": "carry"}[state]
    report = json.loads(run("evaluate", tmp_path, "--weights", weights, "--state", other, "--json").out)
    assert report["ap"] < 0.999


def test_pictures(coco: Path, picture_weights: Path, run: Callable[..., Done]) -> None:
    done = run("evaluate", coco, "--weights", picture_weights, "--json")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    assert (report["kind"], report["split"], report["slice_us"]) == ("coco", "val2017", None)
    assert (report["sources"], report["images"], report["labelled"]) == (3, 3, 3)
    assert [row["labelled"] for row in report["classes"].values()] == [1, 1, 1]
    assert report["classes"]["b"]["ap"] is None, "a crowd alone is nothing to find"
    assert report["windows"] == 3
    one = json.loads(run("evaluate", coco, "--weights", picture_weights, "--limit", 1, "--json").out)
    assert (one["images"], one["labelled"]) == (1, 2)


def backwards_cases(gen1: Path, weights: Path, folder: Path) -> list[tuple[list[object], int, str]]:
    """Weights that run their windows newest slice first cannot carry."""
    loaded, path = load_checkpoint(weights), folder / "backwards.safetensors"
    save_checkpoint(path, loaded.network, replace(loaded.spec, time_order="newest_first"))
    return [([gen1, "--weights", path, "--state", "carry"], 1, "its membranes cannot be carried")]


def test_wrong_use_and_bad_data_are_one_clear_line(
    gen1: Path, coco: Path, weights: Path, picture_weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    lost = tmp_path / "lost"
    lost.mkdir()
    shutil.copy(ASSETS / "street_td.dat", lost)
    early = tmp_path / "early"
    early.mkdir()
    shutil.copy(ASSETS / "street_td.dat", early)
    boxes = np.load(ASSETS / "street_bbox.npy")
    np.save(early / "street_bbox.npy", boxes[boxes["t"] <= 500_000])
    cases: list[tuple[list[object], int, str]] = [
        ([gen1, "--window", "code", "--slice-us", 5000], 2, "not both"),
        ([gen1, "--out", tmp_path / "r.txt"], 2, "the ending must be one of .json, .csv"),
        ([gen1, "--state", "keep"], 2, "'keep' is not one of 'carry', 'reset'"),
        ([coco, "--state", "carry"], 2, "holds pictures"),
        ([tmp_path / "none"], 1, "none: No such file or directory"),
        ([ASSETS / "street_td.dat"], 1, "Not a directory"),
        ([tmp_path / "empty"], 1, "no data set; expected"),
        ([lost], 1, "street_bbox.npy: missing; 1 of 1 recordings have no labels"),
        ([early], 1, "no label of car, pedestrian is left after the filter"),
        ([gen1, "--split", "val"], 1, "splits here: test"),
        (
            [gen1, "--weights", picture_weights],
            1,
            "input is events, but pictures-untrained takes images",
        ),
        ([coco, "--weights", weights], 1, "input is an image, but events-untrained takes events"),
    ]
    (tmp_path / "empty").mkdir()
    cases += backwards_cases(gen1, weights, tmp_path)
    for arguments, status, words in cases:
        done = run("evaluate", *arguments)
        assert (done.status, "Traceback" in done.err) == (status, False), done.err
        assert words in " ".join(done.err.replace("│", " ").split())


def test_without_the_extra_it_says_what_to_install(
    gen1: Path, run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name
        for name in sys.modules
        if name.startswith(("spikewatch.model.training", "spikewatch.service.cli.actions.evaluate"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    done = run("evaluate", gen1)
    assert done.status == 1
    assert "pip install 'spikewatch[eval]'" in done.err
    assert len(done.err.splitlines()) == 1
