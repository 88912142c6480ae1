"""OpenVINO export: a detector as a pair of files, converted from its ONNX graph."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from spikewatch.model.detector import Detector
from spikewatch.model.export.onnx_export import METADATA_KEY, write_onnx
from spikewatch.model.export.optional_packages import require_openvino
from spikewatch.model.spec import ModelSpec


def write_openvino(detector: Detector, path: Path) -> None:
    """Export a detector to `path` (.xml), with the weights next to it (.bin).

    Weights stay in float32. OpenVINO's default, float16, would move membranes across rounding ties.

    Raises:
        MissingExtraError: a package of the extra `export` is not installed.
    """
    require_openvino()
    with TemporaryDirectory() as folder:
        onnx_path = Path(folder) / "model.onnx"
        write_onnx(detector, onnx_path)
        convert_to_openvino(onnx_path, detector.spec, path)


def convert_to_openvino(onnx_path: Path, spec: ModelSpec, path: Path) -> None:
    """Convert an exported ONNX file to `path` (.xml) and its .bin."""
    openvino = require_openvino()
    model = openvino.convert_model(onnx_path)
    model.set_rt_info(json.dumps(spec.to_json()), [METADATA_KEY])
    openvino.save_model(model, path, compress_to_fp16=False)
