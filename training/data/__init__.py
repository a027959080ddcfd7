"""Data sets, augmentation and the input pipeline.

`training.data.datasets` has the data sets, `training.data.preprocessing` the augmentation, and
`training.data.pipeline` makes the batches of a training loop. The names below are resolved on first
use, so that importing this package does not import TensorFlow.
"""

from __future__ import annotations

import importlib
from pathlib import Path

# Data in the package: a small Fashion-MNIST, and ten test images of each class of CIFAR-10, as
# CLASS/NUMBER.png.
EMBEDDED_DIR = Path(__file__).parent / "embedded"
CIFAR10_SAMPLE = EMBEDDED_DIR / "cifar10_sample"

_MODULES = {
    "Cifar10": "datasets",
    "FashionMNIST": "datasets",
    "ImageFolder": "datasets",
    "ImageNet": "datasets",
    "ImagePreprocessing": "preprocessing",
    "InputPipeline": "pipeline",
    "PadCropFlip": "preprocessing",
    "TFDS": "datasets",
    "RandomResizedCropFlip": "preprocessing",
    "reading": "encoded",
}
__all__ = sorted([*_MODULES, "CIFAR10_SAMPLE", "EMBEDDED_DIR"])


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
