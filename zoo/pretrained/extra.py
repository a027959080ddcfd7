"""The optional extra [convert]: PyTorch, which writes PyTorch's files."""

from __future__ import annotations

from typing import Any

from zoo.errors import WeightsError


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
