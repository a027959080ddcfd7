"""Export to ONNX, for engines that read only this format."""
