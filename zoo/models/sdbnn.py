"""SD-BNN: Self-Distribution Binary Neural Networks (2103.02394).

The network shifts values before it binarises them. A gate computes the shift of activations from
their channel means (ASD); the shift of weights is a learned fraction of each filter's mean (WSD).
There is no scaling factor. Layers have the names of the authors' modules.
"""

from functools import partial
from typing import Any

import tensorflow as tf

from zoo.adapters.zookeeper import factory
from zoo.layers import LeakyClip
from zoo.models._factory import ZooFactory
from zoo.models._functions import model_function
from zoo.models._resnet import CifarResNet20, ImageNetResNet
from zoo.models._slots import near_zero_initializer, real_initializer
from zoo.quantizers import ApproximateSign, EDESign, SelfDistributionSign

# A layer instead of larq's function: Keras cannot read functions of other packages from HDF5 files.
Hardtanh = partial(LeakyClip, 0.0)


class SelfDistribution(ZooFactory):
    """The common parts of all SD-BNNs, with the slots for ImageNet."""

    input_quantizer = ApproximateSign
    kernel_quantizer: Any = SelfDistributionSign
    kernel_initializer = near_zero_initializer
    kernel_constraint = None
    reduction: int | None = 8  # the gate has channels // reduction hidden units; None: no gate
    gate_name = "beta"

    def gate(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """Apply ASD: x + sigmoid(W2 relu(W1 mean(x))); the shift has one value per sample and
        channel, and there are no biases."""
        if self.reduction is None:
            return x
        channels = x.shape[-1]
        hidden = max(1, channels // self.reduction)

        def dense(units: int, activation: str, index: int) -> tf.keras.layers.Layer:
            return tf.keras.layers.Dense(
                units,
                activation,
                use_bias=False,
                kernel_initializer=real_initializer(),
                name=f"{name}.{self.gate_name}.fc.{index}",
            )

        mean = tf.keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}.gap")(x)
        shift = dense(channels, "sigmoid", 2)(dense(hidden, "relu", 0)(mean))
        return tf.keras.layers.add([x, shift], name=f"{name}.asd")

    def sd_conv(self, x: tf.Tensor, filters: int, strides: int, name: str) -> tf.Tensor:
        """Apply ASD, sign and a binary 3x3 convolution with WSD."""
        return self.binary_conv(self.gate(x, name), filters, 3, strides, name=name)


@factory
class SDBNNResNet18Factory(SelfDistribution, ImageNetResNet):
    """SD-BNN on Bi-Real Net's ResNet-18 (ImageNet), with a PReLU per channel after each sum."""

    blocks = (4, 4, 4, 4)

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str) -> tf.Tensor:
        y = self.sd_conv(x, filters, strides, f"{name}.binary_conv")
        y = self.batch_norm(y, f"{name}.bn1")
        y = tf.keras.layers.add([y, self.shortcut(x, filters, strides, name)], name=f"{name}.add")
        slope = tf.keras.initializers.Constant(0.25)
        return tf.keras.layers.PReLU(slope, shared_axes=(1, 2), name=f"{name}.prelu")(y)


@factory
class SDBNNResNet34Factory(SDBNNResNet18Factory):
    """SD-BNN on Bi-Real Net's ResNet-34 (ImageNet)."""

    blocks = (6, 8, 12, 6)


class CifarSelfDistribution(SelfDistribution):
    """The authors' networks for CIFAR-10: the EDE estimator, hardtanh, batch norm after pooling."""

    default_input_shape = (32, 32, 3)
    default_num_classes = 10
    default_weights = "cifar10"
    classifier_name = "linear"
    head: tuple[str, ...] = ("bn2",)

    input_quantizer = EDESign
    kernel_quantizer = partial(SelfDistributionSign, "ede")
    # PyTorch's initialisation of convolutions, as in the authors' code. SGD would hardly change
    # kernels that all start near zero with the same sign.
    kernel_initializer = real_initializer
    kernel_constraint = None  # this estimator has a gradient beyond +-1 too
    activation = Hardtanh  # a subclass can change it; the stem always uses Hardtanh
    reduction = 16
    gate_name = "dybeta"

    def pool(self, x: tf.Tensor) -> tf.Tensor:
        # Keep the shape (1, 1, c): batch norm of two-dimensional tensors is less exact in float32.
        x = tf.keras.layers.GlobalAveragePooling2D(keepdims=True, name="avgpool")(x)
        return tf.keras.layers.Flatten(name="flatten")(self.batch_norm(x, "bn2"))


@factory
class SDBNNResNet20Factory(CifarSelfDistribution, CifarResNet20):
    """SD-BNN ResNet-20 (CIFAR-10): a shortcut around every convolution, hardtanh after each sum."""

    def stem_activation(self, x: tf.Tensor) -> tf.Tensor:
        return Hardtanh(name="hardtanh")(x)

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str, index: int) -> tf.Tensor:
        y = self.sd_conv(x, filters, strides, f"{name}.conv{index}")
        y = self.batch_norm(y, f"{name}.bn{index}")
        shortcut = self.shortcut(x, filters, strides, name)
        y = tf.keras.layers.add([y, shortcut], name=f"{name}.add{index}")
        return self.activation(name=f"{name}.hardtanh{index}")(y)


@factory
class SDBNNResNet18CifarFactory(CifarSelfDistribution):
    """SD-BNN ResNet-18 (CIFAR-10): one shortcut around two convolutions, 64 to 512 channels."""

    def features(self, x: tf.Tensor) -> tf.Tensor:
        x = self.real_conv(x, 64, 3, name="conv1")
        x = Hardtanh(name="hardtanh")(self.batch_norm(x, "bn1"))
        for group, filters in enumerate((64, 128, 256, 512), start=1):
            for block in range(2):
                strides = 2 if group > 1 and block == 0 else 1
                x = self.block(x, filters, strides, f"layer{group}.{block}")
        return x

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str) -> tf.Tensor:
        y = self.sd_conv(x, filters, strides, f"{name}.conv1")
        y = self.activation(name=f"{name}.hardtanh1")(self.batch_norm(y, f"{name}.bn1"))
        y = self.batch_norm(self.sd_conv(y, filters, 1, f"{name}.conv2"), f"{name}.bn2")
        if strides > 1:
            x = self.real_conv(x, filters, 1, strides, name=f"{name}.shortcut.0")
            x = self.batch_norm(x, f"{name}.shortcut.1")
        y = tf.keras.layers.add([y, x], name=f"{name}.add")
        return self.activation(name=f"{name}.hardtanh2")(y)


@factory
class SDBNNVGGSmallFactory(CifarSelfDistribution):
    """SD-BNN VGG-Small (CIFAR-10): six 3x3 convolutions, the first real; pool before batch norm."""

    classifier_name = "fc"
    head = ()

    def features(self, x: tf.Tensor) -> tf.Tensor:
        x = self.real_conv(x, 128, 3, name="conv0")
        x = Hardtanh(name="hardtanh0")(self.batch_norm(x, "bn0"))
        for index, filters in enumerate((128, 256, 256, 512, 512), start=1):
            x = self.sd_conv(x, filters, 1, f"conv{index}")
            if index % 2:
                x = tf.keras.layers.MaxPool2D(2, name=f"pool{index}")(x)
            x = self.activation(name=f"hardtanh{index}")(self.batch_norm(x, f"bn{index}"))
        return x

    def pool(self, x: tf.Tensor) -> tf.Tensor:
        # The classifier has weights for every pixel. Flatten channel by channel, as in PyTorch.
        self.fixed_size(x)
        x = tf.keras.layers.Permute((3, 1, 2), name="channels_first")(x)
        return tf.keras.layers.Flatten(name="flatten")(x)


SDBNNResNet18 = model_function(SDBNNResNet18Factory)
SDBNNResNet34 = model_function(SDBNNResNet34Factory)
SDBNNResNet20 = model_function(SDBNNResNet20Factory)
SDBNNResNet18Cifar = model_function(SDBNNResNet18CifarFactory)
SDBNNVGGSmall = model_function(SDBNNVGGSmallFactory)
