"""Real-valued ResNets (1512.03385): teachers, and baselines for binary networks."""

from typing import Annotated

import tensorflow as tf

from zoo.adapters.zookeeper import Field, factory
from zoo.layers import SymmetricMaxPool2D
from zoo.limits import above
from zoo.models._factory import ZooFactory, scaled_channels
from zoo.models._functions import model_function
from zoo.models._resnet import CifarResNet20


def he_initializer() -> tf.keras.initializers.Initializer:
    """Return He's normal initialisation with fan-out, as in torchvision's ResNets."""
    return tf.keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


@factory
class RealResNet20Factory(CifarResNet20):
    """Real-valued ResNet-20 at 32x32, with a shortcut around every convolution."""

    # Multiplies every channel count.
    width: Annotated[float, above(0)] = Field(1.0)

    @property
    def filters(self) -> tuple[int, ...]:  # type: ignore[override]
        return scaled_channels((16, 32, 64), self.width)

    def stem_activation(self, x: tf.Tensor) -> tf.Tensor:
        return tf.keras.layers.ReLU(name="relu")(x)

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str, index: int) -> tf.Tensor:
        y = self.real_conv(
            x, filters, 3, strides, name=f"{name}.conv{index}", kernel_initializer=he_initializer()
        )
        y = self.batch_norm(y, f"{name}.bn{index}")
        shortcut = self.shortcut(x, filters, strides, name)
        y = tf.keras.layers.add([y, shortcut], name=f"{name}.add{index}")
        return tf.keras.layers.ReLU(name=f"{name}.relu{index}")(y)


@factory
class RealResNet34Factory(ZooFactory):
    """Real-valued ResNet-34 in torchvision's layout and with its names: the ImageNet teacher."""

    blocks = (3, 4, 6, 3)
    filters = (64, 128, 256, 512)

    def features(self, x: tf.Tensor) -> tf.Tensor:
        relu = tf.keras.layers.ReLU
        x = self.real_conv(x, 64, 7, 2, name="conv1", kernel_initializer=he_initializer())
        x = relu(name="relu")(self.batch_norm(x, "bn1"))
        x = SymmetricMaxPool2D(name="maxpool")(x)
        for group, (filters, blocks) in enumerate(
            zip(self.filters, self.blocks, strict=True), start=1
        ):
            for block in range(blocks):
                strides = 2 if group > 1 and block == 0 else 1
                x = self.block(x, filters, strides, f"layer{group}.{block}")
        return x

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str) -> tf.Tensor:
        def conv_bn(x: tf.Tensor, size: int, strides: int, conv: str, bn: str) -> tf.Tensor:
            x = self.real_conv(
                x,
                filters,
                size,
                strides,
                name=f"{name}.{conv}",
                kernel_initializer=he_initializer(),
            )
            return self.batch_norm(x, f"{name}.{bn}")

        y = tf.keras.layers.ReLU(name=f"{name}.relu1")(conv_bn(x, 3, strides, "conv1", "bn1"))
        y = conv_bn(y, 3, 1, "conv2", "bn2")
        if strides > 1:
            x = conv_bn(x, 1, strides, "downsample.0", "downsample.1")
        x = tf.keras.layers.add([y, x], name=f"{name}.add")
        return tf.keras.layers.ReLU(name=f"{name}.relu2")(x)


RealResNet20 = model_function(RealResNet20Factory)
RealResNet34 = model_function(RealResNet34Factory)
