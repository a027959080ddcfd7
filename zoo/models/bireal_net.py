"""Bi-Real Net: Enhancing the Performance of 1-bit CNNs (1808.00278; IJCV 1811.01335).

A real-valued shortcut around every binary convolution preserves the information that the sign
loses. Layers have the names of the authors' modules.
"""

from typing import Annotated, Any

import tensorflow as tf

from zoo.adapters.zookeeper import Field, factory
from zoo.errors import InvalidValueError
from zoo.layers import LeakyClip, SymmetricMaxPool2D
from zoo.limits import at_least
from zoo.models._factory import ZooFactory
from zoo.models._functions import model_function
from zoo.models._resnet import CifarResNet20, ImageNetResNet
from zoo.models._slots import near_zero_initializer, real_initializer
from zoo.quantizers import ApproximateSign, ScaledSign


class BiRealMixin(ZooFactory):
    """The common parts of all Bi-Real Nets."""

    input_quantizer = ApproximateSign
    kernel_initializer = near_zero_initializer
    kernel_constraint: Any = None

    @property
    def kernel_quantizer(self) -> Any:
        return "magnitude_aware_sign" if self.magnitude_aware_gradient else ScaledSign

    # Multiply the gradient of a binary kernel by its scale (the paper, section 3.3); the authors'
    # code does not.
    magnitude_aware_gradient: bool = Field(False)

    # False: clip(-1, x, 1) instead of the sign, the paper's pretraining (section 3.4), with
    # binary_weights=False.
    binary_activations: bool = Field(True)

    # Slope of this clip beyond +-1; the pretraining starts with 0.1.
    clip_slope: Annotated[float, at_least(0)] = Field(0.0)

    def signed_conv(self, x: tf.Tensor, filters: int, size: int, strides: int = 1, *, name: str):
        """Apply sign and binary convolution; in pretraining, clip and real convolution."""
        if self.binary_activations:
            return self.binary_conv(x, filters, size, strides, name=name)
        if not 0 <= self.clip_slope <= 1:
            raise InvalidValueError(f"clip_slope must be from 0 to 1, not {self.clip_slope}.")
        x = LeakyClip(self.clip_slope, name=f"{name}.clip")(x)
        return self.binary_conv(x, filters, size, strides, name=name, input_quantizer=None)


@factory
class BiRealNet18Factory(BiRealMixin, ImageNetResNet):
    """Bi-Real Net 18: sign, binary 3x3, batch norm, + shortcut; no other activation."""

    blocks = (4, 4, 4, 4)

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str) -> tf.Tensor:
        y = self.signed_conv(x, filters, 3, strides, name=f"{name}.binary_conv")
        y = self.batch_norm(y, f"{name}.bn1")
        return tf.keras.layers.add(
            [y, self.shortcut(x, filters, strides, name)], name=f"{name}.add"
        )


@factory
class BiRealNet34Factory(BiRealNet18Factory):
    """Bi-Real Net 34."""

    blocks = (6, 8, 12, 6)


@factory
class BiRealNet50Factory(BiRealMixin):
    """Bi-Real Net 50: bottlenecks with a shortcut around each of their three convolutions.

    Two feature maps pass from block to block: `mid` has the bottleneck's width, and `full` is four
    times as wide. The first 1x1 convolution is real.
    """

    blocks = (3, 4, 6, 3)
    filters = (64, 128, 256, 512)

    def features(self, x: tf.Tensor) -> tf.Tensor:
        x = self.real_conv(x, 64, 7, 2, name="conv1")
        x = self.batch_norm(x, "bn1")
        mid = full = SymmetricMaxPool2D(name="maxpool")(x)
        index = 0
        for filters, blocks in zip(self.filters, self.blocks, strict=True):
            for block in range(blocks):
                strides = 2 if index and block == 0 else 1
                mid, full = self.block(mid, full, filters, strides, f"layers.{index}")
                index += 1
        return full

    def block(
        self, mid: tf.Tensor, full: tf.Tensor, filters: int, strides: int, name: str
    ) -> tuple[tf.Tensor, tf.Tensor]:
        add = tf.keras.layers.add

        if name == "layers.0":
            y = LeakyClip(0.1, name=f"{name}.clip")(full)
            mid = self.batch_norm(
                self.real_conv(y, filters, 1, name=f"{name}.conv1"), f"{name}.bn1"
            )
        else:
            if mid.shape[-1] != filters:
                mid = self.real_conv(mid, filters, 1, name=f"{name}.down_conv1x1")
            y = self.signed_conv(full, filters, 1, name=f"{name}.conv1")
            mid = add([self.batch_norm(y, f"{name}.bn1"), mid], name=f"{name}.add1")

        y = self.signed_conv(mid, filters, 3, strides, name=f"{name}.conv2")
        mid = self.average_pool(mid, strides, f"{name}.pooling")
        mid = add([self.batch_norm(y, f"{name}.bn2"), mid], name=f"{name}.add2")

        y = self.signed_conv(mid, 4 * filters, 1, name=f"{name}.conv3")
        if full.shape[-1] != 4 * filters:
            full = self.average_pool(full, strides, f"{name}.downsample.0")
            full = self.real_conv(full, 4 * filters, 1, name=f"{name}.downsample.1")
            full = self.batch_norm(full, f"{name}.downsample.2")
        full = add([self.batch_norm(y, f"{name}.bn3"), full], name=f"{name}.add3")
        return mid, full


@factory
class BiRealNet20Factory(BiRealMixin, CifarResNet20):
    """Bi-Real Net on the ResNet-20 body at 32x32."""

    # Random signs and latent kernels within +-1, for short schedules: see CifarResNet20.
    kernel_initializer = real_initializer
    kernel_constraint = "weight_clip"

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str, index: int) -> tf.Tensor:
        y = self.signed_conv(x, filters, 3, strides, name=f"{name}.conv{index}")
        y = self.batch_norm(y, f"{name}.bn{index}")
        shortcut = self.shortcut(x, filters, strides, name)
        return tf.keras.layers.add([y, shortcut], name=f"{name}.add{index}")


BiRealNet18 = model_function(BiRealNet18Factory)
BiRealNet34 = model_function(BiRealNet34Factory)
BiRealNet50 = model_function(BiRealNet50Factory)
BiRealNet20 = model_function(BiRealNet20Factory)
