"""Export models to C source, OpenVINO (x86), Larq Compute Engine (ARM) and ONNX.

    from zoo.deploy import compile_openvino, to_openvino

    compiled = compile_openvino(to_openvino(model))

Importing this module imports no runtime, no TensorFlow and no NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.deploy.c import load_c, to_c
    from zoo.deploy.lce.export import count_binary_convolutions, to_lce
    from zoo.deploy.onnx.export import to_onnx
    from zoo.deploy.openvino.compiled import check_compiled, compile_openvino, openvino_runtime
    from zoo.deploy.openvino.export import save_openvino, to_openvino
    from zoo.deploy.runners import Runner, load_export

__all__ = [
    "Runner",
    "check_compiled",
    "compile_openvino",
    "count_binary_convolutions",
    "load_c",
    "load_export",
    "openvino_runtime",
    "save_openvino",
    "to_c",
    "to_lce",
    "to_onnx",
    "to_openvino",
]

_OPENVINO = "zoo.deploy.openvino.export"
_COMPILED = "zoo.deploy.openvino.compiled"
_WHERE = {
    "Runner": "zoo.deploy.runners",
    "check_compiled": _COMPILED,
    "compile_openvino": _COMPILED,
    "count_binary_convolutions": "zoo.deploy.lce.export",
    "load_c": "zoo.deploy.c",
    "load_export": "zoo.deploy.runners",
    "openvino_runtime": _COMPILED,
    "save_openvino": _OPENVINO,
    "to_c": "zoo.deploy.c",
    "to_lce": "zoo.deploy.lce.export",
    "to_onnx": "zoo.deploy.onnx.export",
    "to_openvino": _OPENVINO,
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'zoo.deploy' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
