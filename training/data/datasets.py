"""The data sets: Fashion-MNIST (embedded), CIFAR-10, ImageNet, any of tensorflow-datasets, folders.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import EMBEDDED_DIR
from training.data.image_folder import ImageFolder
from training.data.prepared import PreparedImages
from zoo.adapters.zookeeper import Field, component
from zoo.errors import DatasetError
from zoo.files import expanded

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

__all__ = ["TFDS", "Cifar10", "FashionMNIST", "ImageFolder", "ImageNet", "PreparedImages"]

HELD_OUT = 10  # percent of the training images, if a set has no others


@component
class FashionMNIST(PreparedImages):
    """Fashion-MNIST, 28x28x1, ten classes: 10,000 of its training and 2,000 of its test images.

    It is part of the package (see prepare_fashion_mnist.py); `data_dir=None` reads that copy.
    """

    name: str = Field("fashion_mnist_small")
    train_split: str = Field("train")
    validation_split: str = Field("test")
    how_to_get = "reinstall this package"

    @property
    def root(self) -> Path:
        """Return the folder that holds prepared data sets."""
        return expanded(self.data_dir) if self.data_dir else EMBEDDED_DIR


@component
class Cifar10(PreparedImages):
    """CIFAR-10, 32x32x3, ten classes: 50,000 training images, 10,000 test images."""

    name: str = Field("cifar10")
    train_split: str = Field("train")
    validation_split: str = Field("test")
    published_examples = {"train": 50_000, "test": 10_000}
    published_classes = 10


@component
class ImageNet(PreparedImages):
    """ImageNet (ILSVRC 2012), 1000 classes: 1,281,167 training and 50,000 validation images."""

    name: str = Field("imagenet2012")
    train_split: str = Field("train")
    validation_split: str = Field("validation")
    published_examples = {"train": 1_281_167, "validation": 50_000}
    published_classes = 1000
    how_to_get = (
        "fetch ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from image-net.org into a "
        "folder, run `lqz prepare imagenet --tars FOLDER -o imagenet` and give dataset=ImageFolder "
        "dataset.data_dir=imagenet"
    )


@component
class TFDS(PreparedImages):
    """Any image classification set of tensorflow-datasets, by name: `dataset=tfds:cifar100`.

    Use `tfds:NAME/CONFIGURATION` if a set has several configurations. If a set has no validation
    or test split, the last tenth of the training images is held out.
    """

    # Name of the set in tensorflow-datasets.
    name: str = Field()

    @Field
    def train_split(self) -> str:
        """The images to train on."""
        return "train" if self._held_out else f"train[:{100 - HELD_OUT}%]"

    @Field
    def validation_split(self) -> str:
        """The images to validate with: the validation split, else the test's."""
        return self._held_out or f"train[{100 - HELD_OUT}%:]"

    @property
    def title(self) -> str:
        """Return the data set's name as one word."""
        return f"tfds:{self.name}"

    @property
    def image_key(self) -> str:  # type: ignore[override]
        """Return the name of the feature that holds an image."""
        return self._keys[0]

    @property
    def label_key(self) -> str:  # type: ignore[override]
        """Return the name of the feature that holds an image's class."""
        return self._keys[1]

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """Return [h, w, c] if all images have this size; None if not, or for a missing set."""
        if not self.is_prepared and not self.download:
            return None
        shape = self.info.features[self.image_key].shape
        return None if None in shape else shape

    @property
    def _held_out(self) -> str | None:
        return next((name for name in ("validation", "test") if name in self.info.splits), None)

    @property
    def _keys(self) -> tuple[str, str]:
        return self.info.supervised_keys or ("image", "label")

    def _open(self) -> "tfds.core.DatasetBuilder":
        import tensorflow_datasets as tfds  # takes seconds

        builder = super()._open()
        features = builder.info.features
        keys: Any = builder.info.supervised_keys or ("image", "label")
        kinds = (tfds.features.Image, tfds.features.ClassLabel)
        if len(keys) != 2 or not all(
            key in features and isinstance(features[key], kind)
            for key, kind in zip(keys, kinds, strict=True)
        ):
            raise DatasetError(f"Data set {self.title} does not give a class for each image.")
        return builder

    def _newest_version(self) -> Path | None:
        """Return the folder of the newest version, also if it is below the only configuration."""
        if found := super()._newest_version():
            return found
        inside = self.root / self.name
        versions = map(self._version_in, inside.iterdir() if inside.is_dir() else ())
        several = [version for version in versions if version]
        return several[0] if len(several) == 1 else None
