"""The exported network in ONNX Runtime and OpenVINO, in floats and in bytes; needs the extra `export`."""

from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from spikewatch.model.detector import Detector
from spikewatch.model.export.engines import (
    Engine,
    NamedArrays,
    initial_inputs,
    next_inputs,
    onnx_engine,
    openvino_engine,
)
from spikewatch.model.export.onnx_export import write_onnx
from spikewatch.model.export.openvino_export import convert_to_openvino
from spikewatch.model.export.optional_packages import require

CALIBRATION_SLICES = 8


def other_engines(detector: Detector, frames: torch.Tensor, threads: int) -> dict[str, Callable[[], object]]:
    """By name, a function that runs the next slice of endless streams with these frames [B,P,h,w].

    Raises:
        MissingExtraError: onnxruntime or openvino is not installed.
    """
    onnx_name, openvino_name = (f"{name} {version(name)}" for name in ("onnxruntime", "openvino"))
    with TemporaryDirectory() as folder:
        onnx, quantised = Path(folder) / "model.onnx", Path(folder) / "model_int8.onnx"
        xml, xml_int8 = onnx.with_suffix(".xml"), quantised.with_suffix(".xml")
        write_onnx(detector, onnx)
        convert_to_openvino(onnx, detector.spec, xml)
        _quantise(onnx, quantised, detector, frames)
        convert_to_openvino(quantised, detector.spec, xml_int8)
        engines = {
            f"{onnx_name} fp32": onnx_engine(onnx, threads),
            f"{onnx_name} int8": onnx_engine(quantised, threads),
            f"{openvino_name} fp32": openvino_engine(xml, threads),
            f"{openvino_name} int8": openvino_engine(xml_int8, threads),
        }
    return {name: _make_step(engine, detector, frames) for name, engine in engines.items()}


def _make_step(engine: Engine, detector: Detector, frames: torch.Tensor) -> Callable[[], object]:
    """Arrays cross the engine's edge at every slice, as they would for a user."""
    inputs = initial_inputs(detector, len(frames))

    def step() -> None:
        nonlocal inputs
        inputs = next_inputs(engine(inputs | {"frames": frames.numpy()}))

    return step


def _quantise(source: Path, target: Path, detector: Detector, frames: torch.Tensor) -> None:
    """Convolutions of an ONNX file in bytes, by ONNX Runtime's own tool, calibrated on a few slices."""
    tool = require("onnxruntime.quantization")

    class Slices(tool.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self._slices = _calibration_inputs(source, detector, frames)

        def get_next(self) -> Any:
            return next(self._slices, None)

    tool.quantize_static(
        source,
        target,
        Slices(),
        quant_format=tool.QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=tool.QuantType.QUInt8,
        weight_type=tool.QuantType.QInt8,
    )


def _calibration_inputs(source: Path, detector: Detector, frames: torch.Tensor) -> Iterator[NamedArrays]:
    engine = onnx_engine(source)
    inputs = initial_inputs(detector, len(frames)) | {"frames": frames.numpy()}
    for _ in range(CALIBRATION_SLICES):
        yield inputs
        inputs = next_inputs(engine(inputs)) | {"frames": frames.numpy()}
