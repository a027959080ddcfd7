"""ReActNet: Precise Binary Neural Network with Generalized Activation Functions (2003.03488).

RSign is a learned shift before the sign. RPReLU is a PReLU between two learned shifts. Layers have
the names of the authors' modules, so that the authors' checkpoints load key by key.
"""

from itertools import pairwise
from typing import Annotated, Any

import tensorflow as tf

from zoo.adapters.zookeeper import Field, factory
from zoo.errors import InvalidValueError
from zoo.layers import LearnableShift, RPReLU
from zoo.limits import above, at_least
from zoo.models._factory import ZooFactory, scaled_channels
from zoo.models._functions import model_function
from zoo.models._resnet import CifarResNet20, ImageNetResNet
from zoo.models._slots import near_zero_initializer, real_initializer
from zoo.quantizers import ApproximateSign, ScaledSign


class ReActMixin(ZooFactory):
    """The common parts of all ReActNets."""

    input_shift = LearnableShift  # RSign is this shift followed by the sign
    input_quantizer = ApproximateSign
    kernel_initializer = near_zero_initializer
    kernel_constraint: Any = None
    activation = RPReLU

    @property
    def kernel_quantizer(self) -> Any:
        return "magnitude_aware_sign" if self.magnitude_aware_gradient else ScaledSign

    # Multiply the gradient of a binary kernel by its scale, as in Bi-Real Net's paper; the
    # authors' code does not.
    magnitude_aware_gradient: bool = Field(False)

    def rsign(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """Apply the shift of RSign; the binary convolution after it applies the sign."""
        return x if self.input_shift is None else self.input_shift(name=name)(x)

    def rsign_conv(
        self, x: tf.Tensor, filters: int, size: int, strides: int, rsign: str, conv: str
    ) -> tf.Tensor:
        """Apply RSign and a binary convolution."""
        return self.binary_conv(self.rsign(x, rsign), filters, size, strides, name=conv)


@factory
class ReActNetAFactory(ReActMixin):
    """ReActNet-A: MobileNet's layout with binary 3x3 and 1x1 convolutions, each with a shortcut."""

    channels = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    groups = 1  # groups of the 1x1 convolutions that double the channels

    # Multiplies every channel count.
    width: Annotated[float, above(0)] = Field(1.0)

    # Stride of the first convolution: 2 for 224x224, 1 for small images.
    stem_strides: Annotated[int, at_least(1)] = Field(2)

    def features(self, x: tf.Tensor) -> tf.Tensor:
        channels = scaled_channels(self.channels, self.width)
        doubling = all(after % before == 0 for before, after in pairwise(channels))
        if channels[0] < 4 or channels[0] % self.groups or not doubling:
            raise InvalidValueError(
                f"width={self.width} gives no usable channel counts; try 0.25, 0.5, 1 or 2."
            )
        if self.stem_strides < 1:
            raise InvalidValueError(f"stem_strides must be at least 1, not {self.stem_strides}.")
        x = self.real_conv(x, channels[0], 3, self.stem_strides, name="feature.0.conv1")
        x = self.batch_norm(x, "feature.0.bn1")
        for index, (before, after) in enumerate(pairwise(channels), start=1):
            # Blocks that double the channels have stride 2, except the first, which keeps the size.
            strides = 2 if after > before and index > 1 else 1
            x = self.block(x, before, after, strides, f"feature.{index}")
        return x

    def block(self, x: tf.Tensor, before: int, after: int, strides: int, name: str) -> tf.Tensor:
        add = tf.keras.layers.add
        y = self.rsign_conv(x, before, 3, strides, f"{name}.rsign1", f"{name}.binary_3x3")
        shortcut = self.average_pool(x, strides, f"{name}.pooling")
        y = add([self.batch_norm(y, f"{name}.bn1"), shortcut], name=f"{name}.add1")
        x = self.activation(name=f"{name}.rprelu1")(y)

        if after == before:
            y = self.rsign_conv(x, after, 1, 1, f"{name}.rsign2", f"{name}.binary_pw")
            y = add([self.batch_norm(y, f"{name}.bn2"), x], name=f"{name}.add2")
        else:
            halves = [
                add([self.batch_norm(half, f"{name}.bn2_{i}"), x], name=f"{name}.add2_{i}")
                for i, half in enumerate(self.widening(x, before, name), start=1)
            ]
            y = tf.keras.layers.concatenate(halves, name=f"{name}.concat")
        return self.activation(name=f"{name}.rprelu2")(y)

    def widening(self, x: tf.Tensor, channels: int, name: str) -> list[tf.Tensor]:
        """Apply two 1x1 convolutions that together double the channels; here binary, on the same
        signs."""
        x = self.rsign(x, f"{name}.rsign2")
        return [self.binary_conv(x, channels, 1, name=f"{name}.binary_pw_down{i}") for i in (1, 2)]


@factory
class ReActNetBFactory(ReActNetAFactory):
    """ReActNet-B: as A, but 1x1 convolutions that double the channels are real, in 4 groups."""

    groups = 4

    def widening(self, x: tf.Tensor, channels: int, name: str) -> list[tf.Tensor]:
        return [
            self.real_conv(x, channels, 1, groups=self.groups, name=f"{name}.pw_down{i}")
            for i in (1, 2)
        ]


@factory
class ReActNetCFactory(ReActNetBFactory):
    """ReActNet-C: as A, but 1x1 convolutions that double the channels are real."""

    groups = 1


@factory
class ReActNet18Factory(ReActMixin, ImageNetResNet):
    """ReAct on Bi-Real Net's ResNet-18: RSign, binary 3x3, batch norm, + shortcut, RPReLU."""

    blocks = (4, 4, 4, 4)

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str) -> tf.Tensor:
        y = self.rsign_conv(x, filters, 3, strides, f"{name}.rsign", f"{name}.binary_conv")
        y = self.batch_norm(y, f"{name}.bn1")
        y = tf.keras.layers.add([y, self.shortcut(x, filters, strides, name)], name=f"{name}.add")
        return self.activation(name=f"{name}.rprelu")(y)


@factory
class ReActNet34Factory(ReActNet18Factory):
    """ReAct on Bi-Real Net's ResNet-34."""

    blocks = (6, 8, 12, 6)


@factory
class ReActNet20Factory(ReActMixin, CifarResNet20):
    """ReAct on the ResNet-20 body at 32x32."""

    # Random signs and latent kernels within +-1, for short schedules: see CifarResNet20.
    kernel_initializer = real_initializer
    kernel_constraint = "weight_clip"

    def block(self, x: tf.Tensor, filters: int, strides: int, name: str, index: int) -> tf.Tensor:
        y = self.rsign_conv(x, filters, 3, strides, f"{name}.rsign{index}", f"{name}.conv{index}")
        shortcut = self.shortcut(x, filters, strides, name)
        y = self.batch_norm(y, f"{name}.bn{index}")
        y = tf.keras.layers.add([y, shortcut], name=f"{name}.add{index}")
        return self.activation(name=f"{name}.rprelu{index}")(y)


ReActNetA = model_function(ReActNetAFactory)
ReActNetB = model_function(ReActNetBFactory)
ReActNetC = model_function(ReActNetCFactory)
ReActNet18 = model_function(ReActNet18Factory)
ReActNet34 = model_function(ReActNet34Factory)
ReActNet20 = model_function(ReActNet20Factory)
