"""Parity with the reference implementation: identical spikes in every layer, logits to 1e-5."""

import importlib.util
import json
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from spikewatch.model.checkpoints.dyadic_init import dyadic_tensor, fill_dyadic
from spikewatch.model.checkpoints.official_names import official_layer_names, official_tensor_names
from spikewatch.model.decode import average_logits, decode
from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.neuron import ILIF
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.spikeyolo import SpikeYOLO
from spikewatch.model.network.state import init_state
from spikewatch.model.network.step import StepContext

CASES = [f"grid_n_nc{nc}_{size}_T{t}" for nc in (80, 2) for size in ("64x96", "256x320") for t in (1, 4)]


@pytest.fixture(scope="module")
def parity_fill(golden: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("parity_fill", golden / "parity_fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network_n(classes: int) -> SpikeYOLO:
    network = SpikeYOLO(SpikeYOLOConfig("n", classes, 3)).eval()
    fill_dyadic(network)
    return network


def test_tensor_names_and_shapes_equal_official_ones(golden: Path) -> None:
    official = json.loads((golden / "statedict_coco_n_nc80.json").read_text())
    names = official_tensor_names(network_n(80))
    ours = {names[name]: list(tensor.shape) for name, tensor in network_n(80).state_dict().items()}
    assert official.pop("model.26.dfl.conv.weight") == [1, 16, 1, 1], "arange(16), a constant here"
    assert ours == official


def test_dyadic_weights_equal_the_golden_weights(golden: Path, parity_fill: ModuleType) -> None:
    official = json.loads((golden / "statedict_coco_n_nc80.json").read_text())
    for name, shape in official.items():
        want = parity_fill.fill_grid(name, tuple(shape))
        if want is not None:
            np.testing.assert_array_equal(dyadic_tensor(name, tuple(shape)), want, err_msg=name)


def run(network: SpikeYOLO, frames: torch.Tensor) -> tuple[HeadLogits, dict[str, np.ndarray]]:
    """Step slice by slice with the state carried; mean logits and the spikes [T,B,C,H,W] of every layer."""
    fired: dict[str, list[torch.Tensor]] = {}

    def keep(module: torch.nn.Module, _: Any, out: torch.Tensor) -> None:
        fired.setdefault(module.name, []).append(out.to(torch.uint8))

    hooks = [m.register_forward_hook(keep) for m in network.modules() if isinstance(m, ILIF)]
    slices, batch, _, height, width = frames.shape
    state = init_state(trace_shapes(network, height, width).state_shapes, batch)
    fired.clear()
    outputs = []
    with torch.inference_mode():
        for t in range(slices):
            step = StepContext(state)
            outputs.append(network(frames[t], step))
            state = step.next_state
    for hook in hooks:
        hook.remove()
    return average_logits(outputs), {name: torch.stack(s).numpy() for name, s in fired.items()}


@pytest.mark.parametrize("key", CASES)
def test_golden_case_has_equal_spikes_and_logits(key: str, golden: Path, parity_fill: ModuleType) -> None:
    cases = json.loads((golden / "cases_coco_n.json").read_text())["cases"]
    case = next(c for c in cases if c["key"] == key)
    network = network_n(case["nc"])
    frames = torch.from_numpy(parity_fill.make_input(case["T"], case["B"], case["H"], case["W"]))
    raw, fired = run(network, frames)

    layers = official_layer_names(network)
    found = {
        layers[name]: [
            s.size,
            int(s.sum()),
            int((s == 4).sum()),
            zlib.crc32(np.ascontiguousarray(s).tobytes()),
        ]
        for name, s in fired.items()
    }
    assert found == case["layers"]

    samples = np.load(golden / "tensors_coco_n.npz")
    for level, logits in enumerate(raw):
        want = samples[f"{key}_raw{level}"]
        stride = logits.shape[2] // want.shape[2]
        sample = logits.numpy()[:1, case["raw_channels"], ::stride, ::stride]
        np.testing.assert_allclose(sample, want, atol=1e-5, rtol=0)
        np.testing.assert_allclose(logits.mean(dtype=torch.float64), case["raw"][level]["mean"], atol=1e-5)

    corners, scores = decode(raw)
    centre, size = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    y = torch.cat((centre, size, scores), 1).numpy()
    sample = y[:, case["y_channels"], :: case["y_anchor_stride"]]
    np.testing.assert_allclose(sample, samples[f"{key}_y"], atol=2e-4, rtol=0)
    assert list(y.shape) == case["y"]["shape"]
    np.testing.assert_allclose(y.mean(dtype=np.float64), case["y"]["mean"], atol=1e-4)
