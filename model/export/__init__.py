"""Networks as files for inference engines: ONNX and OpenVINO, the membranes as inputs and outputs."""
