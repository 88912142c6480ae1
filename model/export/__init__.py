"""Export of networks to ONNX and OpenVINO, with membranes as inputs and outputs."""
