"""Export to ONNX, for engines that read nothing else."""
