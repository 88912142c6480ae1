"""Exported files give the numbers of PyTorch, slice after slice, because they carry the state.

On dyadic weights the numbers are identical in ONNX Runtime and OpenVINO.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spikewatch.model.errors import MissingExtraError
from spikewatch.model.export.engines import NamedArrays, initial_inputs, next_inputs, onnx_engine
from spikewatch.model.export.onnx_export import METADATA_KEY, OPSET, write_onnx
from spikewatch.model.export.optional_packages import require, require_openvino
from spikewatch.model.export.verify import Difference, compare, named_outputs
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.step import StepContext
from spikewatch.model.spec import ModelSpec
from tests.model.support.exported import Exported, export, needs_extra
from tests.model.support.fakes import event_like_frames, small_detector

ENGINES = ("onnx", "openvino")
pytestmark = pytest.mark.slow


def assert_equal(a: NamedArrays, b: NamedArrays) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not np.array_equal(a[name], b[name])] == []
    assert all(a[name].dtype == b[name].dtype for name in a)


@needs_extra
@pytest.mark.parametrize("batch", [1, 3])
def test_exported_stream_equals_pytorch(exported: Exported, batch: int) -> None:
    detector = exported.detector
    frames = event_like_frames(20 * batch, detector.spec).unflatten(0, (20, batch))
    state, inputs = detector.init_state(batch), dict.fromkeys(ENGINES, initial_inputs(detector, batch))
    for frame in frames:
        expected = detector.step(frame, state)
        state = expected.state
        for engine, run in exported.engines.items():
            outputs = run(inputs[engine] | {"frames": frame.numpy()})
            assert_equal(outputs, named_outputs(expected))
            inputs[engine] = next_inputs(outputs)
    assert all(name.startswith("state.") for name in inputs["onnx"])
    assert sum(int(count.sum()) for count in expected.spikes.values()) > 100_000


@needs_extra
@pytest.mark.parametrize("engine", ENGINES)
def test_exported_state_is_carried(exported: Exported, engine: str) -> None:
    """The same frame gives other spikes from other membranes, down to the logits."""
    run = exported.engines[engine]
    frames = {"frames": event_like_frames(1, exported.detector.spec).numpy()}
    first = run(initial_inputs(exported.detector) | frames)
    again = run(initial_inputs(exported.detector) | frames)
    second = run(next_inputs(first) | frames)
    assert_equal(first, again)
    for kind in ("p", "next_state.", "spikes."):
        names = [name for name in first if name.startswith(kind)]
        assert sum(not np.array_equal(first[name], second[name]) for name in names) > len(names) / 2
    with pytest.raises((ValueError, RuntimeError)):
        onnx_engine(exported.onnx)(frames)


@needs_extra
@pytest.mark.parametrize("engine", ENGINES)
def test_exported_round_is_half_to_even(exported: Exported, engine: str) -> None:
    """Membranes of the first layer are set so that U = h + x is a tie at every neuron."""
    detector, run = exported.detector, exported.engines[engine]
    frames = event_like_frames(1, detector.spec)
    with torch.inference_mode():
        current = detector.network.get_submodule("encoder")(frames, StepContext({})).numpy()
    first = next(iter(detector.state_shapes))
    ties = np.resize(np.arange(-1.5, 6, dtype=np.float32), current.shape)
    inputs = initial_inputs(detector) | {"frames": frames.numpy(), f"state.{first}": ties - current}
    outputs = run(inputs)
    even = np.clip(np.array([-2, 0, 0, 2, 2, 4, 4, 6], np.float32), 0, 4)
    fired = np.resize(even, current.shape)
    assert np.array_equal(outputs[f"next_state.{first}"], np.float32(0.25) * (ties - fired))
    assert outputs[f"spikes.{first}"].tolist() == [int(fired.sum())]


@needs_extra
def test_exported_file_contains_its_specification(exported: Exported) -> None:
    onnx = require("onnx")
    model = onnx.load(exported.onnx, load_external_data=False)
    onnx.checker.check_model(model)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET}
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    membranes = list(exported.detector.state_shapes)
    counted = [layer.name for layer in exported.detector.layers if layer.spiking]
    assert [i.name for i in model.graph.input] == ["frames", *(f"state.{name}" for name in membranes)]
    assert [o.name for o in model.graph.output] == [
        *("p3", "p4", "p5"),
        *(f"next_state.{name}" for name in membranes),
        *(f"spikes.{name}" for name in counted),
    ]
    frames = model.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in frames] == ["batch", 2, 256, 320]

    stored = {entry.key: entry.value for entry in model.metadata_props}[METADATA_KEY]
    assert ModelSpec.from_json(json.loads(stored)) == exported.detector.spec
    assert json.loads(stored)["training"] == "untrained"
    read = require_openvino().Core().read_model(exported.xml)
    assert read.get_rt_info([METADATA_KEY]).astype(str) == stored


@needs_extra
def test_exported_files_contain_no_local_paths(exported: Exported) -> None:
    root = str(Path(__file__).parents[3]).encode()
    for path in (exported.onnx, exported.xml):
        assert root not in path.read_bytes()
        assert b"site-packages" not in path.read_bytes()


VARIANTS: dict[str, dict[str, Any]] = {
    "transformer, anchors, learned beta, Gen1 neuron": {
        "high_block": "transformer",
        "head": "anchor_based",
        "beta": 0.5,
        "beta_mode": "learned",
        "input_gain": 0.5,
    },
    "yolov8": {"architecture": "yolov8", "scale": "n"},
}


@needs_extra
@pytest.mark.parametrize("name", VARIANTS)
def test_exported_variants_equal_pytorch_for_one_step(name: str, tmp_path: Path) -> None:
    config = SpikeYOLOConfig(**{"repeats": (1, 1, 1, 1)} | VARIANTS[name])
    variant = export(small_detector(config=config), tmp_path)
    for engine in ENGINES:
        found = compare(variant.detector, variant.engines[engine])
        assert found == Difference(0.0, 0, found.spikes_fired), engine
        assert found.spikes_fired > 0


@needs_extra
def test_exported_ann_has_no_state_and_is_close(tmp_path: Path) -> None:
    config = SpikeYOLOConfig(neuron="silu", repeats=(1, 1, 1, 1))
    twin = export(small_detector(config=config), tmp_path)
    for run in twin.engines.values():
        outputs = run({"frames": event_like_frames(1, twin.detector.spec).numpy()})
        assert list(outputs) == ["p3", "p4", "p5"]
        found = compare(twin.detector, run)
        assert (found.max_abs_difference < 1e-3, found.spikes_fired) == (True, 0)


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_missing_extra_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"package onnx.*run: pip install 'spikewatch\[export\]'"):
        write_onnx(small_detector(), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


@needs_extra
def test_openvino_is_imported_without_telemetry() -> None:
    code = (
        "import sys; from spikewatch.model.export.optional_packages import require_openvino; "
        "require_openvino().convert_model; "
        "assert 'openvino_telemetry' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3], timeout=400)
