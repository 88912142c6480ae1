"""`spikewatch evaluate` on 1 Mpx, on COCO boxes of recordings, and on the detections of other systems."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes
from tests.ingest.support.hdf5_files import compound
from tests.model.training.support.fakes import boxes_at
from tests.service.support.console import Done
from tests.service.support.evaluation_data import ASSETS, coco_folder, init

LABELS: PropheseeBoxes = np.load(ASSETS / "street_bbox.npy")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return init(tmp_path_factory.mktemp("weights") / "w.safetensors", "--slices", "1")


def one_mpx(folder: Path) -> Path:
    """Two recordings of 1280x720, as HDF5 and as DAT, with trucks among the labels."""
    rng = np.random.default_rng(0)
    place = folder / "test"
    place.mkdir(parents=True)
    events = np.zeros(3000, [("t", "i8"), ("x", "u2"), ("y", "u2"), ("p", "u1")])
    events["t"] = np.sort(rng.integers(0, 900_000, 3000))
    events["x"], events["y"] = rng.integers(0, 1280, 3000), rng.integers(0, 720, 3000)
    with h5py.File(place / "moorea_td.h5", "w") as file:
        file.attrs["geometry"] = "1280x720"
        file.create_dataset("CD/events", data=compound(events))
    header = "% Data file containing CD events\n% Version 2\n% Height 720\n% Width 1280\n"
    words = np.stack([events["t"], (events["y"].astype(np.int64) << 14) | events["x"]], 1).astype("<u4")
    (place / "night_td.dat").write_bytes(header.encode() + bytes([0, 8]) + words.tobytes())
    labels = boxes_at([600_000] * 4 + [700_000], w=[70, 70, 59, 70, 70], h=[20, 70, 10, 70, 70])
    labels["x"], labels["class_id"] = [0, 200, 400, 600, 700], [2, 0, 2, 3, 3]
    for name in ("moorea", "night"):
        np.save(place / f"{name}_bbox.npy", labels)
    return folder


def test_1_mpx_is_filtered_and_classes_matched_by_name(
    tmp_path: Path, weights: Path, run: Callable[..., Done]
) -> None:
    folder = one_mpx(tmp_path)
    done = run("evaluate", folder, "--weights", weights, "--json", "--state", "carry", "--batch", 2)
    assert done.status == 0, done.err
    report = json.loads(done.out)
    assert (report["protocol"]["rules"], report["sources"], report["images"]) == ("1mpx", 2, 2)
    assert {name: row["labelled"] for name, row in report["classes"].items()} == {"pedestrian": 2, "car": 2}

    small = json.loads(
        run("evaluate", folder, "--weights", weights, "--json", "--protocol", "gen1", "--classes", "car").out
    )
    assert {name: row["labelled"] for name, row in small["classes"].items()} == {"car": 4}
    done = run("evaluate", folder, "--weights", weights, "--classes", "truck")
    assert (done.status, "class 'truck' is unknown" in done.err) == (1, True)


def detections(folder: Path, *names: str, boxes: PropheseeBoxes = LABELS) -> Path:
    folder.mkdir()
    for name in names:
        np.save(folder / f"{name}.npy", boxes)
    return folder


def test_labels_as_detections_of_another_system_score_one(tmp_path: Path, run: Callable[..., Done]) -> None:
    data = one_mpx(tmp_path / "data")
    labels = np.load(data / "test" / "night_bbox.npy")
    theirs = detections(tmp_path / "theirs", "moorea", "night", boxes=labels)
    report = json.loads(run("evaluate", data, "--detections", theirs, "--json").out)
    assert (report["ap"], report["images"]) == (pytest.approx(1), 2)
    assert (report["model"], report["training"]) == ("theirs", "detections of another system, from files")
    assert "firing_rate" not in report
    assert report["classes"]["two wheeler"]["ap"] is None

    (theirs / "night.npy").unlink()
    done = run("evaluate", data, "--detections", theirs)
    assert (done.status, "night.npy: missing; 1 of 2 files" in done.err) == (1, True)
    assert run("evaluate", data, "--detections", theirs, "--limit", 1).status == 0


def street(folder: Path) -> Path:
    """The bundled recording and its labels, as a COCO file."""
    shutil.copy(ASSETS / "street_td.dat", folder)
    times = np.unique(LABELS["t"])[2:6]
    kept = LABELS[np.isin(LABELS["t"], times)]
    image_of = {int(t): 10 + k for k, t in enumerate(times)}
    annotations = [
        {
            "id": k + 1,
            "image_id": image_of[int(box["t"])],
            "category_id": 1 + int(box["class_id"]),
            "bbox": [float(box[name]) for name in "xywh"],
        }
        for k, box in enumerate(kept)
    ]
    data = {
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "pedestrian"}],
        "images": [{"id": i, "file_name": "street_td.dat", "t_us": t} for t, i in image_of.items()]
        + [{"id": 99, "file_name": "street_td.dat", "t_us": 2_999_999}],
        "annotations": annotations,
    }
    path = folder / "street.json"
    path.write_text(json.dumps(data))
    results = [row | {"score": 0.5} for row in annotations]
    (folder / "results.json").write_text(json.dumps(results))
    return path


def test_coco_boxes_on_a_recording(tmp_path: Path, weights: Path, run: Callable[..., Done]) -> None:
    path = street(tmp_path)
    report = json.loads(run("evaluate", path, "--weights", weights, "--json").out)
    assert (report["kind"], report["images"], report["windows"]) == ("coco_recordings", 5, 5)
    assert (report["protocol"]["rules"], report["split"]) == ("none", "all")
    theirs = json.loads(run("evaluate", path, "--detections", tmp_path / "results.json", "--json").out)
    assert theirs["ap"] == pytest.approx(1)
    assert (
        theirs["labelled"]
        == theirs["found"]
        == report["labelled"]
        == len(json.loads(path.read_text())["annotations"])
    )
    times = detections(tmp_path / "theirs", "street_bbox", boxes=LABELS[LABELS["t"] > 0])
    assert json.loads(run("evaluate", path, "--detections", times, "--json").out)["ap"] == pytest.approx(1)


def test_empty_times_give_false_boxes_a_second(
    tmp_path: Path, weights: Path, run: Callable[..., Done]
) -> None:
    """In both layouts: one annotated time without a box in COCO's, all other times empty in Prophesee's."""
    report = json.loads(run("evaluate", street(tmp_path), "--weights", weights, "--json").out)
    assert (report["false_boxes"]["moments"], report["false_boxes"]["confidence"]) == (1, 0.25)
    folder = tmp_path / "test"
    folder.mkdir()
    (folder / "a_td.dat").write_bytes((ASSETS / "street_td.dat").read_bytes())
    np.save(folder / "a_bbox.npy", LABELS[:0])
    np.save(folder / "a_times.npy", np.arange(100_000, 1_000_001, 100_000))
    done = run("evaluate", folder, "--weights", weights, "--out", tmp_path / "r.json")
    assert done.status == 0, done.err
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["ap"], report["images"], report["false_boxes"]["moments"]) == (None, 0, 5)
    assert "at 5 times without objects" in " ".join(done.out.split())


def test_results_on_pictures(tmp_path: Path, run: Callable[..., Done]) -> None:
    """An object found, one missed, and a box in the picture without any."""
    results = tmp_path / "results.json"
    rows = [(0, 1, [5, 5, 40, 30], 0.5), (1, 1, [5, 5, 40, 30], 0.75)]
    names = ("image_id", "category_id", "bbox", "score")
    results.write_text(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
    done = run("evaluate", coco_folder(tmp_path), "--detections", results, "--json")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    assert [row["ap"] for row in report["classes"].values()] == [pytest.approx(0.5), None, 0.0]
    assert (report["images"], report["found"], report["protocol"]) == (3, 2, {})


@pytest.mark.parametrize("state", ["carry", "reset"])
def test_the_batch_changes_no_output(
    state: str, tmp_path: Path, weights: Path, run: Callable[..., Done]
) -> None:
    path = street(tmp_path)
    options = ("evaluate", path, "--weights", weights, "--state", state, "--json")
    assert run(*options).out == run(*options, "--batch", 3).out


def test_wrong_use_is_one_clear_line(tmp_path: Path, weights: Path, run: Callable[..., Done]) -> None:
    path = street(tmp_path)
    prophesee = tmp_path / "folder"
    prophesee.mkdir()
    for name in ("street_td.dat", "street_bbox.npy"):
        shutil.copy(ASSETS / name, prophesee)
    late = tmp_path / "late"
    late.mkdir()
    shutil.copy(ASSETS / "street_td.dat", late)
    boxes = np.zeros(2, BBOX_DTYPE)
    boxes["t"], boxes["w"], boxes["h"] = [700_000, 7_200_000_000], 50, 50
    np.save(late / "street_bbox.npy", boxes)
    no_pictures = tmp_path / "no.json"
    no_pictures.write_text(path.read_text().replace("t_us", "time"))
    cases: list[tuple[list[object], int, str]] = [
        ([path, "--split", "test"], 2, "is one split"),
        ([path, "--detections", tmp_path / "results.json", "--weights", weights], 2, "are for weights"),
        (
            [path, "--detections", tmp_path / "results.json", "-o", tmp_path / "results.json"],
            2,
            "the input itself",
        ),
        ([path, "-o", path], 2, "the input itself"),
        ([path, "--device", "tpu9"], 2, "expected cpu, cuda or cuda:N"),
        ([path, "--device", "cuda:99"], 2, "CUDA devices here"),
        ([path, "--device", "mps"], 2, "CUDA devices here"),
        ([path, "--batch", 0], 2, "batch"),
        ([path, "--protocol", "gen2"], 2, "'gen2' is not one of"),
        ([no_pictures], 1, "no time; expected t_us or timestamp"),
        ([prophesee, "--detections", tmp_path / "results.json"], 1, "no image ids; pass a folder of .npy"),
        ([path, "--weights", weights, "--classes", "car=van"], 1, "class 'van' is unknown"),
        ([late, "--weights", weights], 1, "a label at 7200.000 s, but the last event is at 3.000 s"),
        ([late, "--weights", weights, "--state", "carry"], 1, "a label at 7200.000 s"),
        ([tmp_path / "none.json"], 1, "none.json: No such file or directory"),
    ]
    for arguments, status, words in cases:
        done = run("evaluate", *arguments)
        assert (done.status, "Traceback" in done.err) == (status, False), done.err
        assert words in " ".join(done.err.replace("│", " ").split()), done.err
