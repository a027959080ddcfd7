"""Deployment: models of this zoo as C source, for OpenVINO (x86), for Larq Compute
Engine (ARM), as ONNX.

    from zoo.deploy import compile_openvino, to_openvino

    compiled = compile_openvino(to_openvino(model))

Importing this imports neither runtime, nor TensorFlow.
"""

from __future__ import annotations

from zoo.deploy.c import load_c, to_c
from zoo.deploy.lce.export import count_binary_convolutions, to_lce
from zoo.deploy.onnx.export import to_onnx
from zoo.deploy.openvino.export import (
    check_compiled,
    compile_openvino,
    openvino_runtime,
    save_openvino,
    to_openvino,
)
from zoo.deploy.runners import Runner, load_export

__all__ = [
    "Runner", "check_compiled", "compile_openvino", "count_binary_convolutions", "load_c",
    "load_export", "openvino_runtime", "save_openvino", "to_c", "to_lce", "to_onnx",
    "to_openvino",
]  # fmt: skip
