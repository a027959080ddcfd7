"""Optional packages: what needs one says which, and how to install it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from zoo.errors import DeployError, WeightsError


def require_torch(what: str) -> Any:
    """The module torch.

    Args:
        what: begins the sentence that says it is needed.

    Raises:
        WeightsError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise WeightsError(
            f"{what} needs PyTorch, which is not installed: pip install 'binary-zoo[convert]' "
            "(in a clone: pip install '.[convert]')."
        ) from error
    return torch


# By the extra that installs it, a runtime's module and name.
RUNTIMES = {
    "openvino": ("openvino", "OpenVINO"),
    "lce": ("larq_compute_engine", "Larq Compute Engine"),
}


def require_runtime(extra: str) -> None:
    """Raise a DeployError that names the extra unless its runtime is installed; imports nothing."""
    module, package = RUNTIMES[extra]
    if importlib.util.find_spec(module) is None:
        raise DeployError(
            f"{package} is not installed; it is an extra: pip install 'binary-zoo[{extra}]' "
            f"(in a clone: pip install '.[{extra}]')."
        )
