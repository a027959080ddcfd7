"""What this project's commands and recipes know of data sets without opening them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The catalog's names of data sets, as components.
COMPONENTS = {"imagenet": "ImageNet", "cifar10": "Cifar10"}


# How images are read, for training and for `lqz evaluate`, by data set.
SMALL_IMAGES: Mapping[str, Mapping[str, Any]] = {
    "Cifar10": {"preprocessing": "PadCropFlip"},
    "FashionMNIST": {"preprocessing": "PadCropFlip", "preprocessing.input_shape": (28, 28, 1)},
}
