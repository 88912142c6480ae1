"""A detector as OpenVINO's pair of files, converted from its ONNX graph."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from spikewatch.model.detector import Detector
from spikewatch.model.export.onnx_export import METADATA_KEY, write_onnx
from spikewatch.model.export.optional_packages import require_openvino
from spikewatch.model.spec import ModelSpec


def write_openvino(detector: Detector, path: Path) -> None:
    """Export to `path` (.xml), with the weights beside it (.bin).

    Weights stay in 32 bits: OpenVINO would store them in 16, which moves membranes across rounding ties.

    Raises:
        MissingExtraError: a package of the extra is not installed.
    """
    require_openvino()
    with TemporaryDirectory() as folder:
        onnx_path = Path(folder) / "model.onnx"
        write_onnx(detector, onnx_path)
        convert_to_openvino(onnx_path, detector.spec, path)


def convert_to_openvino(onnx_path: Path, spec: ModelSpec, path: Path) -> None:
    """Write `path` (.xml) and its .bin from an exported ONNX file."""
    openvino = require_openvino()
    model = openvino.convert_model(onnx_path)
    model.set_rt_info(json.dumps(spec.to_json()), [METADATA_KEY])
    openvino.save_model(model, path, compress_to_fp16=False)
