"""XNOR-Net++: Improved Binary Neural Networks (1909.13863).

Binary convolutions use plain signs. A learned factor G multiplies their output, instead of
XNOR-Net's computed factor; G has one of four shapes (`zoo.layers.LearnedScale`). Blocks are
XNOR-Net's: batch norm, sign, convolution, activation. The authors released no code. The paper does
not state the activation, the order inside a residual block and the initial G; they are our choices.
"""

import tensorflow as tf

from zoo.adapters.zookeeper import Field, factory
from zoo.layers import LearnedScale, SymmetricMaxPool2D
from zoo.models._factory import ZooFactory, check_activation
from zoo.models._functions import model_function
from zoo.models._resnet import CifarResNet20
from zoo.models._slots import real_initializer
from zoo.quantizers import StraightThroughSign


class XNORMixin(ZooFactory):
    """The common parts of all XNOR-Net++ networks."""

    input_quantizer = StraightThroughSign
    kernel_quantizer = StraightThroughSign
    kernel_initializer = real_initializer  # kernels have no scale, so signs must start mixed
    kernel_constraint = "weight_clip"  # keeps them within +-1, where the gradient is not 0

    # Shape of the learned factor, 'case1' to 'case4' (section 3; case4 is the best).
    scale: str = Field("case4")

    # Keras activation after each binary convolution.
    activation: str = Field("relu")

    def factor(self, x: tf.Tensor, initial: float, name: str) -> tf.Tensor:
        """Multiply x by the learned factor."""
        return LearnedScale(self.scale, initial, name=name)(x)

    def scaled_conv(
        self,
        x: tf.Tensor,
        filters: int,
        size: int | tuple[int, int],
        strides: int,
        conv: str,
        bn: str,
        padding: str = "same",
    ) -> tf.Tensor:
        """Apply batch norm, sign, binary convolution, learned factor and activation."""
        check_activation("activation", self.activation)
        x = self.batch_norm(x, bn)
        height, width = (size, size) if isinstance(size, int) else size
        # The variance of a sum of this many signs. The initial factor compensates for it; otherwise
        # the branch would be 12 to 68 times as large as a shortcut of variance 1.
        variance = height * width * x.shape[-1] if self.binary_weights else 1.0
        x = self.binary_conv(x, filters, size, strides, name=conv, padding=padding)
        x = self.factor(x, variance**-0.5, f"{conv}.scale")
        return tf.keras.layers.Activation(self.activation, name=f"{conv}.activation")(x)


@factory
class XNORNetPlusPlusResNet18Factory(XNORMixin):
    """XNOR-Net++ ResNet-18: a shortcut around two convolutions; first, last and 1x1 are real."""

    filters = (64, 128, 256, 512)

    def features(self, x: tf.Tensor) -> tf.Tensor:
        x = self.real_conv(x, 64, 7, 2, name="conv1")
        x = tf.keras.layers.ReLU(name="relu")(self.batch_norm(x, "bn1"))
        x = SymmetricMaxPool2D(name="maxpool")(x)
        for group, filters in enumerate(self.filters, start=1):
            for block in range(2):
                strides = 2 if group > 1 and block == 0 else 1
                x = self.block(x, filters, strides, f"layer{group}.{block}")
        return x

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str) -> tf.Tensor:
        y = self.scaled_conv(x, filters, 3, strides, f"{name}.conv1", f"{name}.bn1")
        y = self.scaled_conv(y, filters, 3, 1, f"{name}.conv2", f"{name}.bn2")
        if strides > 1:
            x = self.real_conv(x, filters, 1, strides, name=f"{name}.downsample.0")
            x = self.batch_norm(x, f"{name}.downsample.1")
        return tf.keras.layers.add([y, x], name=f"{name}.add")


@factory
class XNORNetPlusPlusAlexNetFactory(XNORMixin):
    """XNOR-Net++ AlexNet: XNOR-Net's layout; hidden dense layers are binary convolutions."""

    head = ("bn6", "fc6", "bn7", "fc7", "bn8")

    def features(self, x: tf.Tensor) -> tf.Tensor:
        def pool(x: tf.Tensor, index: int) -> tf.Tensor:
            return tf.keras.layers.MaxPool2D(3, 2, name=f"pool{index}")(x)

        x = tf.keras.layers.ZeroPadding2D(2, name="padding")(x)
        x = self.real_conv(x, 96, 11, 4, name="conv1", padding="valid")
        x = pool(tf.keras.layers.ReLU(name="relu")(self.batch_norm(x, "bn1")), 1)
        x = pool(self.scaled_conv(x, 256, 5, 1, "conv2", "bn2"), 2)
        x = self.scaled_conv(x, 384, 3, 1, "conv3", "bn3")
        x = self.scaled_conv(x, 384, 3, 1, "conv4", "bn4")
        return pool(self.scaled_conv(x, 256, 3, 1, "conv5", "bn5"), 5)

    def pool(self, x: tf.Tensor) -> tf.Tensor:
        # A dense layer over the whole feature map is a "valid" convolution of its size.
        x = self.scaled_conv(x, 4096, self.fixed_size(x), 1, "fc6", "bn6", padding="valid")
        x = self.scaled_conv(x, 4096, 1, 1, "fc7", "bn7")
        return tf.keras.layers.Flatten(name="flatten")(self.batch_norm(x, "bn8"))


@factory
class XNORNetPlusPlusResNet20Factory(XNORMixin, CifarResNet20):
    """XNOR-Net++ on the ResNet-20 body at 32x32."""

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str, index: int) -> tf.Tensor:
        y = self.scaled_conv(x, filters, 3, strides, f"{name}.conv{index}", f"{name}.bn{index}")
        shortcut = self.shortcut(x, filters, strides, name)
        return tf.keras.layers.add([y, shortcut], name=f"{name}.add{index}")


XNORNetPlusPlusResNet18 = model_function(XNORNetPlusPlusResNet18Factory)
XNORNetPlusPlusAlexNet = model_function(XNORNetPlusPlusAlexNetFactory)
XNORNetPlusPlusResNet20 = model_function(XNORNetPlusPlusResNet20Factory)
