"""`spikewatch import`, as a user runs it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from spikewatch.model.checkpoints.checkpoint import load_checkpoint
from spikewatch.model.checkpoints.official_export import export_official
from spikewatch.model.network.config import SpikeYOLOConfig
from tests.model.support.official_files import Runs, official_tensors, random_network, write_official
from tests.service.support.console import Done


@pytest.fixture(scope="module")
def gen1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tensors = official_tensors(random_network(SpikeYOLOConfig("t", 2, 3)))
    return write_official(tmp_path_factory.mktemp("import") / "best.pt", tensors, "gen1")


def test_import_writes_weights_and_says_what_they_are(
    gen1: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    out = tmp_path / "w.safetensors"
    done = run("import", gen1, "-o", out, "--variant", "gen1", "--scale", "t")
    assert done.status == 0, done.err
    words = " ".join(done.out.replace("│", " ").split())
    for shown in (
        *("model spikeyolo-t-gen1", "scale t", "classes 2: car, pedestrian", "parameters 1,7"),
        *("neuron beta 0.5, input gain 0.5, D = 4", "slices 4, newest first", "latest_polarity, 320x256"),
        *("file best.pt", "source ema", "epoch 299", "version 8.0.190", f"wrote {out}"),
    ):
        assert shown in words
    spec = load_checkpoint(out).spec
    assert spec.training == "imported from best.pt (official SpikeYOLO, gen1)"
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_options_reach_the_file(gen1: Path, tmp_path: Path, run: Callable[..., Done]) -> None:
    out = tmp_path / "w.safetensors"
    options = ["--slices", 8, "--time-order", "oldest-first", "--name", "night"]
    assert run("import", gen1, "-o", out, "--variant", "gen1", *options).status == 0
    spec = load_checkpoint(out).spec
    assert (spec.slices, spec.time_order, spec.name) == (8, "oldest_first", "night")


def test_many_classes_are_cut_short(tmp_path: Path, run: Callable[..., Done]) -> None:
    export_official(random_network(SpikeYOLOConfig("t", 80, 3)), tmp_path / "c.pt")
    done = run("import", tmp_path / "c.pt", "-o", tmp_path / "c.safetensors", "--variant", "coco")
    assert "80: person, bicycle, car, motorcycle, ..." in done.out
    assert "state dict" in done.out


COCO, GEN1 = ["--variant", "coco"], ["--variant", "gen1"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "Missing argument"),
        (["{gen1}", "-o", "{out}"], 2, "Missing option '--variant'"),
        (["{gen1}", *GEN1], 2, "Missing option '--out'"),
        (["{gen1}", "-o", "{out}", "--variant", "dvs"], 2, "'dvs' is not one of"),
        (["{gen1}", "-o", "{out}", *GEN1, "--scale", "x"], 2, "'x' is not one of"),
        (["{gen1}", "-o", "{out}", *GEN1, "--slices", "0"], 2, "--slices"),
        (["{gen1}", "-o", "{out}", *GEN1, "--name", "a\nb"], 2, "printable"),
        (["{gen1}", "-o", "{out}", *COCO, "--time-order", "newest-first"], 2, "still images"),
        (["{gen1}", "-o", "{tmp}/w.pt", *GEN1], 2, "the ending must be .safetensors"),
        (["{gen1}", "-o", "/nowhere/w.safetensors", *GEN1], 2, "there is no folder /nowhere"),
        (["{gen1}", "-o", "{folder}", *GEN1], 2, "a folder, the input itself"),
        (["/nowhere/x.pt", "-o", "{out}", *GEN1], 1, "/nowhere/x.pt: no such file"),
        (["{gen1}", "-o", "{out}", *COCO], 1, "pass variant gen1"),
        (["{gen1}", "-o", "{out}", *GEN1, "--scale", "s"], 1, "is of scale t, not s"),
        (["{hostile}", "-o", "{out}", *COCO], 1, "imports 'posix.system'"),
        (["{junk}", "-o", "{out}", *COCO], 1, "not a zip file of torch.save"),
    ],
)
def test_errors_are_one_clear_line(
    gen1: Path, tmp_path: Path, run: Callable[..., Done], arguments: list[str], status: int, words: str
) -> None:
    torch.save({"model": Runs(os.system, f"touch {tmp_path}/marker")}, tmp_path / "hostile.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    (tmp_path / "folder.safetensors").mkdir()
    places = {
        "hostile": tmp_path / "hostile.pt",
        "junk": tmp_path / "junk.pt",
        "out": tmp_path / "w.safetensors",
    }
    places |= {"gen1": gen1, "tmp": tmp_path, "folder": tmp_path / "folder.safetensors"}
    done = run("import", *(a.format(**places) for a in arguments))
    assert (done.status, "Traceback" in done.err) == (status, False), done.err
    assert words in " ".join(done.err.replace("│", " ").split())
    if status == 1:
        assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "marker").exists()
    assert not list(tmp_path.glob("*w.*"))


def test_a_file_that_cannot_be_written(gen1: Path, run: Callable[..., Done]) -> None:
    done = run("import", gen1, "-o", "/proc/w.safetensors", *GEN1)
    assert (done.status, len(done.err.strip().splitlines())) == (1, 1)
    assert done.err.startswith("spikewatch: /proc/w.safetensors: ")


def test_an_import_that_fails_leaves_the_old_file(
    gen1: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    out = tmp_path / "w.safetensors"
    out.write_bytes(b"old")
    assert run("import", gen1, "-o", out, *COCO).status == 1
    assert out.read_bytes() == b"old"
    assert run("import", gen1, "-o", out, *GEN1).status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]
    assert load_checkpoint(out).spec.name == "spikeyolo-t-gen1"


def test_ours_to_the_official_names_and_back(tmp_path: Path, run: Callable[..., Done]) -> None:
    first, official, second = (tmp_path / n for n in ("a.safetensors", "a.pt", "b.safetensors"))
    assert run("init", first, "--representation", "latest_polarity").status == 0
    assert run("export", official, "--format", "official", "--weights", first).status == 0
    assert run("import", official, *GEN1, "-o", second).status == 0
    a, b = load_file(first), load_file(second)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert run("init", first, "--head", "anchor_based").status == 0
    done = run("export", official, "--format", "official", "--weights", first)
    assert done.status == 1
    assert "only the paper's SpikeYOLO has official names" in done.err
