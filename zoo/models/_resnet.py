"""ResNet layouts with a separate shortcut around every 3x3 convolution.

`ImageNetResNet` is Bi-Real Net's layout (1808.00278); ReActNet and SD-BNN use it too.
`CifarResNet20` is the common backbone that compares all methods at 32x32.
"""

from typing import Any

import tensorflow as tf

from zoo.layers import SubsamplePad, SymmetricMaxPool2D
from zoo.models._factory import ZooFactory


class ImageNetResNet(ZooFactory):
    """Stem 7x7/2, batch norm, max pool 3x3/2, no activation; four groups of single-conv blocks."""

    blocks = (4, 4, 4, 4)
    filters = (64, 128, 256, 512)

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str) -> tf.Tensor:
        """Apply one convolution with its shortcut; each paper defines this."""
        raise NotImplementedError

    def features(self, x: tf.Tensor) -> tf.Tensor:
        x = self.real_conv(x, self.filters[0], 7, 2, name="conv1")
        x = self.batch_norm(x, "bn1")
        x = SymmetricMaxPool2D(name="maxpool")(x)
        for group, (filters, blocks) in enumerate(
            zip(self.filters, self.blocks, strict=True), start=1
        ):
            for block in range(blocks):
                strides = 2 if group > 1 and block == 0 else 1
                x = self.block(x, filters, strides, f"layer{group}.{block}")
        return x

    def shortcut(self, x: tf.Tensor, filters: int, strides: int, name: str) -> tf.Tensor:
        """Return x; if the shape changes, after average pool, real 1x1 convolution, batch norm."""
        if strides == 1 and x.shape[-1] == filters:
            return x
        x = self.average_pool(x, strides, f"{name}.downsample.0")
        x = self.real_conv(x, filters, 1, name=f"{name}.downsample.1")
        return self.batch_norm(x, f"{name}.downsample.2")


class CifarResNet20(ZooFactory):
    """Three groups of six 3x3 convolutions with 16, 32, 64 channels; 41 million MACs at 32x32.

    Shortcuts have no parameters: they take every second pixel and add zero channels on both sides.

    For short schedules, latent kernels start at random values, so their signs are random; filters
    with equal signs cost several points of accuracy. Latent kernels are clipped to +-1. Beyond
    that, an estimator's gradient is 0 and a sign can never flip again; without the clip, a high
    learning rate does this to a tenth of the first layers' signs.
    """

    default_input_shape = (32, 32, 3)
    default_num_classes = 10
    default_weights = "cifar10"
    filters = (16, 32, 64)
    blocks = 3  # blocks in each group, each of two convolutions

    def stem_activation(self, x: tf.Tensor) -> tf.Tensor:
        """Apply the activation after the stem's batch norm; by default, return x unchanged."""
        return x

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str, index: int) -> tf.Tensor:
        """Apply convolution number `index` (1 or 2) of basic block `name`, with its shortcut."""
        raise NotImplementedError

    def features(self, x: tf.Tensor) -> tf.Tensor:
        x = self.real_conv(x, self.filters[0], 3, name="conv1")
        x = self.stem_activation(self.batch_norm(x, "bn1"))
        for group, filters in enumerate(self.filters, start=1):
            for block in range(self.blocks):
                for index in (1, 2):
                    strides = 2 if group > 1 and block == 0 and index == 1 else 1
                    x = self.block(x, filters, strides, f"layer{group}.{block}", index)
        return x

    def shortcut(self, x: tf.Tensor, filters: int, strides: int, name: str) -> Any:
        """Return x; if the shape changes, the shortcut without parameters."""
        if strides == 1 and x.shape[-1] == filters:
            return x
        return SubsamplePad(filters, strides, name=f"{name}.shortcut")(x)
