"""Optional packages, and errors that say how to install a missing one."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from types import ModuleType

from zoo.errors import DeployError, RunError, WeightsError, ZooError


@dataclass(frozen=True)
class Extra:
    """An extra of setup.py.

    Attributes:
        packages: the packages that it installs, for messages.
        modules: the modules that are imported.
        error: the class of the error if it is missing.
        condition: where it can be installed, if not everywhere; the end of the message.
    """

    packages: str
    modules: tuple[str, ...]
    error: type[ZooError]
    condition: str = ""


EXTRAS = {
    "convert": Extra("PyTorch", ("torch",), WeightsError),
    "openvino": Extra("OpenVINO", ("openvino",), DeployError),
    "lce": Extra("Larq Compute Engine", ("larq_compute_engine",), DeployError),
    "onnx": Extra("ONNX Runtime and tf2onnx", ("tf2onnx", "onnx", "onnxruntime"), DeployError),
    "portable": Extra("JAX and Pillow", ("jax", "PIL"), RunError, ", with Python 3.11 or 3.12"),
}


def require(extra: str, what: str) -> None:
    """Raise an error that says how to install `extra`, if it is missing; import nothing.

    Args:
        extra: a key of EXTRAS.
        what: the subject of the message: what needs the extra.

    Raises:
        WeightsError, DeployError, RunError: it is not installed.
    """
    needed = EXTRAS[extra]
    if any(importlib.util.find_spec(module) is None for module in needed.modules):
        raise needed.error(
            f"{what} needs {needed.packages}: run pip install '.[{extra}]' "
            f"in a clone of this repository{needed.condition}."
        )


def module_of(extra: str, what: str) -> ModuleType:
    """Import and return the first module of an extra; raise the errors of `require`."""
    require(extra, what)
    return importlib.import_module(EXTRAS[extra].modules[0])
