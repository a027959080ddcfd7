"""Facts about data sets that commands and recipes use without opening the data sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CACHES = ("auto", "none", "memory", "disk")  # where encoded images are kept between epochs

# The data sets that a setting can name, and where each is defined.
DATASETS = {
    "Cifar10": "training.data.datasets:Cifar10",
    "FashionMNIST": "training.data.datasets:FashionMNIST",
    "ImageFolder": "training.data.image_folder:ImageFolder",
    "ImageNet": "training.data.datasets:ImageNet",
    "TFDS": "training.data.datasets:TFDS",
}

# The kinds of preprocessing that a setting can name, and where each is defined.
PREPROCESSING = {
    "PadCropFlip": "training.data.preprocessing:PadCropFlip",
    "RandomResizedCropFlip": "training.data.preprocessing:RandomResizedCropFlip",
}

# The component of each data set that the catalog names.
COMPONENTS = {"imagenet": "ImageNet", "cifar10": "Cifar10"}


# How images are read, for training and for `lqz evaluate`, by data set.
SMALL_IMAGES: Mapping[str, Mapping[str, Any]] = {
    "Cifar10": {"preprocessing": "PadCropFlip"},
    "FashionMNIST": {"preprocessing": "PadCropFlip", "preprocessing.input_shape": (28, 28, 1)},
}

# The same for photographs of any size.
PHOTOGRAPHS: Mapping[str, Any] = {"preprocessing": "RandomResizedCropFlip"}


MOST_SMALL = 64  # pixels; larger images are cropped like photographs


def preprocessing_of(dataset: Any) -> Mapping[str, Any]:
    """Return the settings for reading a data set's images; `dataset`: class, object or name."""
    shape = getattr(dataset, "image_shape", None)
    if isinstance(shape, tuple) and max(shape) <= MOST_SMALL:
        return {"preprocessing": "PadCropFlip", "preprocessing.input_shape": shape}
    if not isinstance(dataset, str):
        dataset = (dataset if isinstance(dataset, type) else type(dataset)).__name__
    name = dataset.replace("_", "").casefold()
    return next((v for k, v in SMALL_IMAGES.items() if k.casefold() == name), PHOTOGRAPHS)
