"""`spikewatch train`: learns, resumes, refuses; and the whole way from a simulator to scores."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spikewatch.model.checkpoints.checkpoint import load_checkpoint
from tests.model.training.support.coco_layout import annotate
from tests.model.training.support.street import write_recording
from tests.service.support.console import Done

Run = Callable[..., Done]
SMALL = ("--size", "64x96", "--slices", 1, "--slice-us", 50_000, "--batch", 4, "--steps", 2, "--no-augment")


def street(folder: Path, seconds: float = 1.5) -> Path:
    """The same recordings to train on and to be scored on: what is learned by heart must be found again."""
    for split in ("train", "val"):
        for seed in range(2):
            write_recording(folder / split, f"street{seed}", seed, seconds)
    return folder


def progress(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_small_street_is_learned(run: Run, tmp_path: Path) -> None:
    data, out = street(tmp_path / "data"), tmp_path / "run"
    done = run(
        "train", data, "--out", out, *SMALL, "--batch", 8, "--epochs", 10, "--optimizer", "adamw",
        "--learning-rate", 0.003, "--warmup", 1,
    )  # fmt: skip
    assert done.status == 0, done.err
    last = progress(out)[-1]
    assert float(last["ap50"]) > 0.9
    spec = load_checkpoint(out / "best.safetensors").spec
    assert (spec.name, spec.training) == ("spikewatch-t-data", "trained on data")
    scored = run(
        "evaluate",
        data,
        "--split",
        "val",
        "--state",
        "carry",
        "--weights",
        out / "last.safetensors",
        "--json",
    )
    assert json.loads(scored.out)["ap50"] == pytest.approx(float(last["ap50"]), abs=0.02)


@pytest.mark.slow
def test_two_processes_in_half_precision(tmp_path: Path) -> None:
    """As torchrun starts them; only the first one scores and writes."""
    data, out = street(tmp_path / "data", 0.8), tmp_path / "run"
    launch = (Path(sys.executable).with_name("torchrun"), "--nproc-per-node", "2", "--no-python")
    train = ("spikewatch", "train", data, "--out", out, *SMALL, "--batches", 2, "--epochs", 1, "--amp")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run([str(each) for each in launch + train], check=True, timeout=800, env=environment)
    described = json.loads((out / "run.json").read_text())
    assert (described["processes"], described["precision"]) == (2, "torch.bfloat16")
    (row,) = progress(out)
    assert (row["epoch"], row["steps"]) == ("1", "2")


@pytest.mark.slow
def test_a_run_is_resumed_only_as_what_it_is(run: Run, tmp_path: Path) -> None:
    data, out = street(tmp_path / "data", 0.6), tmp_path / "run"
    short = ("train", data, "--out", out, *SMALL, "--batches", 2, "--validate-on", 1)
    assert run(*short, "--epochs", 1).status == 0
    again = run(*short, "--epochs", 1)
    assert again.status == 1
    assert "holds a run already" in again.err
    other = run(*short, "--epochs", 1, "--spikes", 2, "--resume")
    assert other.status == 1
    assert "holds another run" in other.err
    assert "Traceback" not in again.err + other.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--row", "table5/anchor"), "no row"),
        (("--size", "60x90"), "multiples of 32"),
        (("--device", "abacus"), "abacus"),
        (("--spikes", 300), "d_max is 300"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(
    run: Run, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    done = run("train", street(tmp_path / "data", 0.3), "--out", tmp_path / "run", *options)
    assert done.status == 1
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_folder_without_labels_is_told(run: Run, tmp_path: Path) -> None:
    data = street(tmp_path / "data", 0.3)
    (data / "train" / "street1_bbox.npy").unlink()
    done = run("train", data, "--out", tmp_path / "run")
    assert done.status == 1
    assert "street1_bbox.npy: missing" in done.err


def coco_street(folder: Path) -> Path:
    """The same, with COCO's boxes on the recordings; val has a class more, so others are numbered there."""
    street(folder, 0.6)
    for split in ("train", "val"):
        events = sorted((folder / split).glob("*_td.dat"))
        labels = sorted((folder / split).glob("*_bbox.npy"))
        annotate(folder, f"{split}2024", list(zip(events, labels, strict=True)))
    val = folder / "annotations" / "instances_val2024.json"
    data = json.loads(val.read_text())
    data["categories"].append({"id": 1, "name": "tram"})
    val.write_text(json.dumps(data))
    return folder


@pytest.mark.slow
def test_boxes_in_cocos_format_on_recordings(run: Run, tmp_path: Path) -> None:
    data, out = coco_street(tmp_path / "data"), tmp_path / "run"
    done = run("train", data, "--out", out, *SMALL, "--batches", 2, "--epochs", 1)
    assert done.status == 0, done.err
    (row,) = progress(out)
    assert (row["steps"], row["ap"] != "") == ("2", True)
    weights = out / "last.safetensors"
    assert load_checkpoint(weights).spec.class_names == ("car", "pedestrian")
    scored = run("evaluate", data, "--split", "val", "--state", "carry", "--weights", weights, "--json")
    assert scored.status == 0, scored.err
    report = json.loads(scored.out)
    assert (report["kind"], report["split"], report["images"]) == ("coco_recordings", "val2024", 24)
    assert report["ap"] == pytest.approx(float(row["ap"]), abs=1e-3)
    assert json.loads(run("evaluate", data, "--weights", weights, "--json").out)["split"] == "val2024"


@pytest.mark.slow
def test_several_data_sets_and_clutter(run: Run, tmp_path: Path) -> None:
    """Simulated recordings, others in COCO's format, and recordings without objects as both."""
    data, other, out = street(tmp_path / "data", 0.6), coco_street(tmp_path / "other"), tmp_path / "run"
    empty = street(tmp_path / "empty", 0.6)
    for labels in empty.glob("*/*_bbox.npy"):
        boxes = np.load(labels)
        np.save(str(labels).replace("_bbox", "_times"), np.unique(boxes["t"]))
        np.save(labels, boxes[:0])
    (data / "simulation.json").write_text('{"options": {"scenario": "mixed"}}')
    (other / "simulation.json").write_text('{"options": {"scenario": "videos"}}')
    several = ("--also", other, "--also", empty, "--clutter", empty, "--clutter-share", 0.5)
    scores = ("--validate", f"theirs={other}", "--validate", f"nothing={empty}")
    train = ("train", data, "--out", out, *SMALL, *several, *scores, "--batches", 2, "--warmup", 0)
    done = run(*train, "--epochs", 2, "--decay-epochs", 0)
    assert done.status == 0, done.err
    done = run(*train, "--epochs", 3, "--decay-epochs", 1, "--resume")
    assert done.status == 0, done.err
    rows = progress(out)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] == rates[1] == 0.01 > rates[2]
    for row in rows:
        assert float(row["false_boxes_nothing"]) >= 0
        assert {row["ap50_theirs_car"], row["ap50_theirs_pedestrian"]} != {""}
        assert row["selection"]
    spec = load_checkpoint(out / "last.safetensors").spec
    assert spec.training == "trained on simulated recordings and on events made from video and on empty"
    assert spec.provenance["data"] == "data, other, empty"
    assert len(list((out / "cache").glob("*.h5"))) == 6


def test_data_sets_that_do_not_go_together(run: Run, tmp_path: Path) -> None:
    data, other = street(tmp_path / "data", 0.3), coco_street(tmp_path / "other")
    train = other / "annotations" / "instances_train2024.json"
    known = json.loads(train.read_text())
    known["categories"] = [{"id": row["id"], "name": row["name"] + "s"} for row in known["categories"]]
    train.write_text(json.dumps(known))
    done = run("train", data, "--out", tmp_path / "run", "--also", other)
    assert (done.status, "other: classes cars, pedestrians, expected those of data" in done.err) == (1, True)
    done = run("train", data, "--out", tmp_path / "run", "--clutter", tmp_path / "nowhere")
    assert (done.status, "nowhere" in done.err) == (1, True)


def test_boxes_in_cocos_format_that_cannot_be_trained(run: Run, tmp_path: Path) -> None:
    data, train = coco_street(tmp_path / "data"), tmp_path / "data/annotations/instances_train2024.json"
    good = json.loads(train.read_text())
    timeless = [{"id": 1, "file_name": good["images"][0]["file_name"]}, *good["images"][1:]]
    cases = [
        (good | {"images": timeless}, "instances_train2024.json: image 1: no time"),
        (good | {"annotations": []}, "2 recordings, but none with a box"),
        (
            good | {"categories": [{"id": 3, "name": "cart"}, {"id": 5, "name": "horse"}]},
            "no class in common",
        ),
        (good | {"annotations": good["categories"]}, "instances_train2024.json: not COCO annotations"),
    ]
    for changed, words in cases:
        train.write_text(json.dumps(changed))
        done = run("train", data, "--out", tmp_path / "run", *SMALL)
        assert (done.status, len(done.err.strip().splitlines()), words in done.err) == (1, 1, True)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
    done = run("train", train, "--out", tmp_path / "run")
    assert "one file; train on a folder that holds annotations/instances_train*.json" in done.err
    train.unlink()
    done = run("train", data, "--out", tmp_path / "run")
    assert (done.status, "no annotations/instances_train*.json" in done.err) == (1, True)


@pytest.mark.slow
def test_from_simulated_streets_to_scores(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("moderngl")
    data, out = tmp_path / "streets", tmp_path / "run"
    made = run(
        "simulate",
        data,
        "--recordings",
        3,
        "--seconds",
        0.8,
        "--width",
        96,
        "--height",
        64,
        "--fps",
        40,
        "--seed",
        3,
    )
    if "EGL" in made.err:
        pytest.skip(made.err)
    assert made.status == 0, made.err
    trained = run("train", data, "--out", out, *SMALL, "--epochs", 1, "--batches", 2, "--stream-share", 0)
    assert trained.status == 0, trained.err
    assert "trained on simulated recordings" in trained.out
    scored = run("evaluate", data, "--weights", out / "best.safetensors", "--protocol", "none", "--json")
    assert scored.status == 0, scored.err
    assert json.loads(scored.out)["training"] == "trained on simulated recordings"
