"""Weights: finding, reading and checking them, and exchanging them with PyTorch."""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "load_torch_state": "torch_state",
    "torch_state": "torch_state",
    "load_weights": "store",
    "save_weights": "store",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"zoo.weights.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'zoo.weights' has no attribute '{name}'")
