"""The code of docs/export.md runs as it stands, without PyTorch, and gives the numbers of the detector."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spikewatch.ingest.open import open_recording
from spikewatch.ingest.slicing.slicer import TimeSlicer
from spikewatch.model.checkpoints.checkpoint import untrained_detector
from spikewatch.model.decode import average_logits, decode
from spikewatch.model.export.engines import initial_inputs
from spikewatch.model.export.optional_packages import require_openvino
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.network.base import HeadLogits
from tests.model.support.exported import Exported

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
APPENDED = """
import sys
assert "torch" not in sys.modules
np.savez("results.npz", boxes=boxes, scores=scores, p3=logits[0], p4=logits[1], p5=logits[2])
"""


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL)


def last_window(recording: Path) -> list[HeadLogits]:
    """Logits of the last T slices, as the detector of this project gives them."""
    detector = untrained_detector()
    spec, state, raw = detector.spec, detector.init_state(), []
    with open_recording(recording) as opened:
        slicer = TimeSlicer(spec.slice_us, *opened.sensor_size())
        box = Letterbox.fit(*opened.sensor_size(), spec)
        for events in opened.chunks():
            for piece in slicer.push(events):
                out = detector.step(torch.from_numpy(preprocess(piece.frame, box, spec))[None], state)
                state = out.state
                raw.append(out.logits)
    return raw[-spec.slices :]


def test_the_example_gives_the_detectors_numbers_without_torch(exported: Exported, tmp_path: Path) -> None:
    code = (blocks()[0] + APPENDED).replace('"spikewatch.onnx"', repr(str(exported.onnx)))
    code = code.replace('"results.npz"', repr(str(tmp_path / "results.npz")))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert done.stdout.count("untrained") == 3

    raw = average_logits(last_window(ROOT / "service/assets/street_td.dat"))
    corners, scores = decode(raw)
    with np.load(tmp_path / "results.npz") as results:
        for name, level in zip(("p3", "p4", "p5"), raw, strict=True):
            assert np.array_equal(results[name], level[0].numpy()), name
        np.testing.assert_allclose(results["scores"], scores[0].T.numpy(), rtol=1e-5)
        np.testing.assert_allclose(results["boxes"], corners[0].T.numpy(), rtol=1e-5, atol=1e-3)
    assert f"{scores.max():.4f}" in done.stdout.splitlines()[0]


def test_the_openvino_lines_run(exported: Exported) -> None:
    require_openvino()
    detector = exported.detector
    frames = torch.full_like(detector.blank_frames(), 0.125)
    names: dict[str, Any] = {"json": json, "frames": frames.numpy(), "state": initial_inputs(detector)}
    exec(blocks()[1].replace('"spikewatch.xml"', repr(str(exported.xml))), names)
    raw = detector.step(frames, detector.init_state()).logits
    assert np.array_equal(names["results"]["p3"], raw[0].numpy())
    assert names["spec"]["training"] == "untrained"
