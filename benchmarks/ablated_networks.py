"""The ResNet-20s of `benchmarks.ablation`: each a network of the zoo with one idea taken out.

Importing them makes them known by name: `model=PlainSignReActNet20`.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from functools import partial

import tensorflow as tf

from zoo.adapters.zookeeper import factory
from zoo.layers import LearnedScale
from zoo.models.bireal_net import BiRealNet20Factory
from zoo.models.reactnet import ReActMixin, ReActNet20Factory
from zoo.models.sdbnn import SDBNNResNet20Factory
from zoo.models.xnornet_plus_plus import XNORNetPlusPlusResNet20Factory
from zoo.quantizers import EDESign, StraightThroughSign

# A slope per channel, from 0.25.
PReLU = partial(tf.keras.layers.PReLU, tf.keras.initializers.Constant(0.25), shared_axes=(1, 2))


@factory
class StraightThroughBiRealNet20Factory(BiRealNet20Factory):
    """Bi-Real Net's network, its activations' gradient cut to 1 within +-1."""

    input_quantizer = StraightThroughSign


@factory
class DecayingBiRealNet20Factory(BiRealNet20Factory):
    """Bi-Real Net's network with SD-BNN's estimator of activations."""

    input_quantizer = EDESign


@factory
class PlainSignReActNet20Factory(ReActNet20Factory):
    """ReActNet without the learned shift before the sign."""

    input_shift = None


@factory
class NearZeroReActNet20Factory(ReActNet20Factory):
    """ReActNet whose binary kernels start as in the authors' ImageNet code, 0 to 0.001."""

    kernel_initializer = ReActMixin.kernel_initializer


@factory
class UnclippedReActNet20Factory(ReActNet20Factory):
    """ReActNet whose latent kernels may leave +-1, where their signs are frozen."""

    kernel_constraint = None


@factory
class SlowAverageReActNet20Factory(ReActNet20Factory):
    """ReActNet whose batch norms average over a hundred batches instead of ten."""

    batch_norm_momentum = 0.99


@factory
class PlainPReLUReActNet20Factory(ReActNet20Factory):
    """ReActNet with a PReLU per channel that is not shifted."""

    activation = PReLU


@factory
class ConstantScaleXNORNet20Factory(XNORNetPlusPlusResNet20Factory):
    """XNOR-Net++'s network whose factors stay where they start."""

    def factor(self, x: tf.Tensor, initial: float, name: str) -> tf.Tensor:
        return LearnedScale("case1", initial, trainable=False, name=name)(x)


@factory
class UngatedSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN without activation self-distribution."""

    reduction = None


@factory
class ClippedSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN whose latent kernels stay within +-1, where its estimator sees them."""

    kernel_constraint = "weight_clip"


@factory
class LeakingSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN with a PReLU per channel where it cuts off, as in its networks for ImageNet."""

    activation = PReLU


@factory
class PlainKernelSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN without weight self-distribution."""

    kernel_quantizer = EDESign
