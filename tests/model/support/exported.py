"""Fixture helpers: a detector exported to both engines."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import pytest

from spikewatch.model.detector import Detector
from spikewatch.model.export.engines import Engine, onnx_engine, openvino_engine
from spikewatch.model.export.onnx_export import write_onnx
from spikewatch.model.export.openvino_export import convert_to_openvino

PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
needs_extra = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} not installed: the extra `export`")


@dataclass(frozen=True)
class Exported:
    detector: Detector
    onnx: Path
    xml: Path
    engines: dict[str, Engine]


def export(detector: Detector, folder: Path) -> Exported:
    onnx, xml = folder / "model.onnx", folder / "model.xml"
    write_onnx(detector, onnx)
    convert_to_openvino(onnx, detector.spec, xml)
    engines = {"onnx": onnx_engine(onnx, threads=2), "openvino": openvino_engine(xml, threads=2)}
    return Exported(detector, onnx, xml, engines)
