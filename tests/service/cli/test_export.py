"""`spikewatch export` as a user runs it; the ANN twin exports quickly."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.network.config import SpikeYOLOConfig
from tests.model.support.exported import needs_extra
from tests.model.support.fakes import small_detector
from tests.service.support.console import Done


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "twin.safetensors"
    twin = small_detector(config=SpikeYOLOConfig(neuron="relu", repeats=(1, 1, 1, 1)))
    save_checkpoint(path, twin.network, twin.spec)
    return path


@pytest.mark.slow
@needs_extra
@pytest.mark.parametrize(
    ("format", "files"), [("onnx", ["twin.onnx"]), ("openvino", ["twin.bin", "twin.xml"])]
)
def test_export_writes_whole_files_and_compares(
    format: str, files: list[str], weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    done = run("export", tmp_path / files[-1], "--format", format, "--weights", weights)
    assert done.status == 0, done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    for words in ("1: the frames, 0 membranes", "3: 3 levels", "from PyTorch over one step", "untrained"):
        assert words in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["{tmp}/x.onnx"], 2, "Missing option"),
        (["{tmp}/x.onnx", "--format", "tflite"], 2, "tflite"),
        (["{tmp}/x.onnx", "--format", "openvino"], 2, "the ending must be .xml"),
        (["/nowhere/x.onnx", "--format", "onnx"], 2, "there is no folder /nowhere"),
        (["{tmp}/x.onnx", "--format", "onnx", "--weights", "/nowhere"], 1, "no such file"),
    ],
)
def test_errors_are_one_clear_line(
    tmp_path: Path, run: Callable[..., Done], arguments: list[str], status: int, words: str
) -> None:
    done = run("export", *(a.format(tmp=tmp_path) for a in arguments))
    assert (done.status, "Traceback" in done.err) == (status, False), done.err
    assert words in " ".join(done.err.replace("│", " ").split())
    if status == 1:
        assert len(done.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("format", "package"), [("onnx", "onnxruntime"), ("onnx", "onnxscript"), ("openvino", "openvino")]
)
def test_a_missing_extra_is_one_clear_line(
    format: str, package: str, tmp_path: Path, run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    ending = {"onnx": "onnx", "openvino": "xml"}[format]
    done = run("export", tmp_path / f"x.{ending}", "--format", format)
    assert done.status == 1
    assert done.err.startswith(f"spikewatch: exporting needs the package {package}")
    assert done.err.strip().endswith("run: pip install 'spikewatch[export]'")
    assert list(tmp_path.iterdir()) == []
