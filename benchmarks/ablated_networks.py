"""The ResNet-20s of `benchmarks.ablation`: each a network of the zoo with one idea taken out.

Importing them makes them known by name: `model=PlainSignReActNet20`.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import tensorflow as tf
from zookeeper import factory

from zoo.batch_norm import BatchNorm
from zoo.layers import LearnedScale
from zoo.models import ZooFactory
from zoo.models.bireal_net import BiRealNet20Factory
from zoo.models.reactnet import ReActNet20Factory
from zoo.models.sdbnn import SDBNNResNet20Factory
from zoo.models.xnornet_plus_plus import XNORNetPlusPlusResNet20Factory
from zoo.quantizers import EDESign, StraightThroughSign


def prelu(x: tf.Tensor, name: str) -> tf.Tensor:
    """A slope per channel, from 0.25."""
    slope = tf.keras.initializers.Constant(0.25)
    return tf.keras.layers.PReLU(slope, shared_axes=(1, 2), name=name)(x)


@factory
class StraightThroughBiRealNet20Factory(BiRealNet20Factory):
    """Bi-Real Net's network, its activations' gradient cut to 1 within +-1."""

    def activation_sign(self) -> StraightThroughSign:
        return StraightThroughSign()


@factory
class DecayingBiRealNet20Factory(BiRealNet20Factory):
    """Bi-Real Net's network with SD-BNN's estimator of activations."""

    def activation_sign(self) -> EDESign:
        return EDESign()


@factory
class PlainSignReActNet20Factory(ReActNet20Factory):
    """ReActNet without the learned shift before the sign."""

    def rsign_conv(
        self, x: tf.Tensor, filters: int, size: int, strides: int, rsign: str, conv: str
    ) -> tf.Tensor:
        return self.binary_conv(x, filters, size, strides, name=conv)


@factory
class NearZeroReActNet20Factory(ReActNet20Factory):
    """ReActNet whose binary kernels start as in the authors' ImageNet code, 0 to 0.001."""

    def latent_initializer(self) -> tf.keras.initializers.Initializer:
        return ZooFactory.latent_initializer(self)


@factory
class UnclippedReActNet20Factory(ReActNet20Factory):
    """ReActNet whose latent kernels may leave +-1, where their signs are frozen."""

    def latent_constraint(self) -> None:
        return None


@factory
class SlowAverageReActNet20Factory(ReActNet20Factory):
    """ReActNet whose batch norms average over a hundred batches instead of ten."""

    def batch_norm(self, x: tf.Tensor, name: str) -> tf.Tensor:
        return BatchNorm(momentum=0.99, name=name)(x)


@factory
class PlainPReLUReActNet20Factory(ReActNet20Factory):
    """ReActNet with a PReLU per channel that is not shifted."""

    def activation(self, x: tf.Tensor, name: str) -> tf.Tensor:
        return prelu(x, name)


@factory
class ConstantScaleXNORNet20Factory(XNORNetPlusPlusResNet20Factory):
    """XNOR-Net++'s network whose factors stay where they start."""

    def factor(self, x: tf.Tensor, initial: float, name: str) -> tf.Tensor:
        return LearnedScale("case1", initial, trainable=False, name=name)(x)


@factory
class UngatedSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN without activation self-distribution."""

    def gate(self, x: tf.Tensor, name: str) -> tf.Tensor:
        return x


@factory
class ClippedSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN whose latent kernels stay within +-1, where its estimator sees them."""

    def latent_constraint(self) -> str:
        return "weight_clip"


@factory
class LeakingSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN with a PReLU per channel where it cuts off, as in its networks for ImageNet."""

    def activation(self, x: tf.Tensor, name: str) -> tf.Tensor:
        return prelu(x, name)


@factory
class PlainKernelSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN without weight self-distribution."""

    def kernel_sign(self) -> EDESign:
        return EDESign()
