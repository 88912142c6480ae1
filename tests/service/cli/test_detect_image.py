"""`spikewatch detect IMAGE`: images in, boxes out, for weights that take images."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikewatch.model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.model.still_image import run_image
from spikewatch.service.inference.images import is_image, read_image
from tests.service.support.console import Done
from tests.service.support.live import dat_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, detector: Detector) -> Path:
    folder = tmp_path_factory.mktemp("still")
    picture = np.random.default_rng(0).integers(0, 256, (61, 97, 3), np.uint8)
    Image.fromarray(picture).save(folder / "a.png")
    Image.fromarray(picture).save(folder / "b.jpeg", quality=95)
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: to be turned by a quarter clockwise
    Image.fromarray(picture).save(folder / "turned.jpg", quality=95, exif=turned)
    Image.fromarray(picture[..., 0]).save(folder / "grey.png")
    ramp = np.arange(0, 65536, 1024, np.uint16)[None].repeat(40, 0)
    Image.fromarray(ramp).save(folder / "sixteen.png")
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(folder / "clear.png")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:2000])
    Image.new("1", (9000, 6000)).save(folder / "huge.png")
    (folder / "events.dat").write_bytes(dat_file(4))
    save_checkpoint(folder / "events.safetensors", detector.network, detector.spec)
    return folder


@pytest.fixture(scope="module")
def weights(folder: Path) -> Path:
    from spikewatch.service.cli.main import main

    path = folder / "coco.safetensors"
    wish = ["--representation", "image", "--class-names", "coco", "--size", "64x96", "--slices", "2"]
    with pytest.raises(SystemExit) as stop:
        main(["init", str(path), *wish])
    assert not stop.value.code
    return path


def test_a_picture_gives_boxes_in_its_own_pixels(
    folder: Path, weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    outs = {ending: tmp_path / f"r{ending}" for ending in (".json", ".npy", ".png")}
    options = [x for path in outs.values() for x in ("-o", path)]
    done = run("detect", folder / "a.png", "--weights", weights, "--confidence", 0, *options)
    assert done.status == 0, done.err
    assert "untrained" in done.out
    result = json.loads(outs[".json"].read_text())
    assert (result["width"], result["height"], result["slices"]) == (97, 61, 2)
    assert result["training"] == "untrained"
    boxes = np.load(outs[".npy"])
    assert len(boxes) == len(result["detections"]) > 0
    assert (boxes["x"] >= 0).all()
    assert (boxes["x"] + boxes["w"] <= 97.001).all()
    assert (boxes["y"] + boxes["h"] <= 61.001).all()
    assert {box["label"] for box in result["detections"]} <= set(load_checkpoint(weights).spec.class_names)
    with Image.open(outs[".png"]) as drawn:
        assert drawn.width == 97
        assert drawn.height > 61


def test_the_same_picture_is_seen_at_every_step(folder: Path, weights: Path) -> None:
    detector = load_checkpoint(weights)
    outputs = run_image(detector, read_image(folder / "a.png"), 4)
    again = run_image(detector, read_image(folder / "a.png"), 1)
    assert (outputs[0].logits[0] == again[0].logits[0]).all()
    assert not (outputs[0].logits[0] == outputs[1].logits[0]).all(), "membranes are carried from step to step"


def test_pictures_are_told_by_content_and_read_as_they_are_seen(folder: Path) -> None:
    plain, turned = read_image(folder / "b.jpeg"), read_image(folder / "turned.jpg")
    assert plain.shape == (61, 97, 3)
    assert turned.shape == (97, 61, 3)
    np.testing.assert_array_equal(turned, np.rot90(plain, -1))
    grey = read_image(folder / "grey.png")
    assert (grey[..., 0] == grey[..., 2]).all()
    sixteen = read_image(folder / "sixteen.png")
    np.testing.assert_array_equal(sixteen[0, :, 0], np.arange(0, 256, 4))
    clear = read_image(folder / "clear.png")
    assert (clear == 255).all()
    assert [is_image(folder / name) for name in ("a.png", "b.jpeg", "events.dat", "none")] == [
        *(True, True, False, False)
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["street.jpg", "--out", "x.png"], 1, "street.jpg: No such file or directory"),
        (["a.png"], 1, "input is an image, but spikewatch-t takes events"),
        (
            ["events.dat", "--weights", "coco.safetensors"],
            1,
            "input is events, but coco-untrained takes images",
        ),
        (["cut.png", "--weights", "coco.safetensors"], 1, "cut.png: not a readable picture"),
        (["huge.png", "--weights", "coco.safetensors"], 1, "9000x6000 is too large"),
        (["a.png", "--hop", "2"], 2, "hop and tracks are for recordings"),
        (["a.png", "--width", "9", "--height", "9"], 2, "sensor size"),
        (["a.png", "--out", "x.mp4"], 2, "the ending must be one of .json, .npy, .png"),
        (["a.png", "--video", "x.mp4"], 2, "the ending must be one of .json, .npy, .png"),
        (["events.dat", "--video", "x.avi"], 2, "the ending must be .mp4"),
    ],
)
@pytest.mark.usefixtures("weights")
def test_errors_are_one_clear_line(
    folder: Path,
    run: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    words: str,
) -> None:
    monkeypatch.chdir(folder)
    for command in ("detect", "energy") if status == 1 else ("detect",):
        done = run(command, *arguments)
        assert (done.status, "Traceback" in done.err) == (status, False), done.err
        assert words in " ".join(done.err.replace("│", " ").split())


def test_the_service_refuses_weights_for_pictures(weights: Path, run: Callable[..., Done]) -> None:
    done = run("serve", "--weights", weights)
    assert done.status == 1
    assert "takes images" in done.err
