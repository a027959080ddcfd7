"""The ResNet-20s of `benchmarks.ablation`: each is a network of the zoo without one idea.

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

# A slope per channel, with initial value 0.25.
PReLU = partial(tf.keras.layers.PReLU, tf.keras.initializers.Constant(0.25), shared_axes=(1, 2))


@factory
class StraightThroughBiRealNet20Factory(BiRealNet20Factory):
    """Bi-Real Net's network with a straight-through gradient of activations: 1 within +-1."""

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
    """ReActNet with initial binary kernels of 0 to 0.001, as in the authors' ImageNet code."""

    kernel_initializer = ReActMixin.kernel_initializer


@factory
class UnclippedReActNet20Factory(ReActNet20Factory):
    """ReActNet without clipping of latent kernels; beyond +-1 their signs are frozen."""

    kernel_constraint = None


@factory
class SlowAverageReActNet20Factory(ReActNet20Factory):
    """ReActNet with batch norms that average over a hundred batches instead of ten."""

    batch_norm_momentum = 0.99


@factory
class PlainPReLUReActNet20Factory(ReActNet20Factory):
    """ReActNet with a PReLU per channel without shifts."""

    activation = PReLU


@factory
class ConstantScaleXNORNet20Factory(XNORNetPlusPlusResNet20Factory):
    """XNOR-Net++'s network with factors that are not trained."""

    def factor(self, x: tf.Tensor, initial: float, name: str) -> tf.Tensor:
        return LearnedScale("case1", initial, trainable=False, name=name)(x)


@factory
class UngatedSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN without activation self-distribution."""

    reduction = None


@factory
class ClippedSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN with latent kernels clipped to +-1, where its estimator has a gradient."""

    kernel_constraint = "weight_clip"


@factory
class LeakingSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN with a PReLU per channel instead of hardtanh, as in its networks for ImageNet."""

    activation = PReLU


@factory
class PlainKernelSDBNNResNet20Factory(SDBNNResNet20Factory):
    """SD-BNN without weight self-distribution."""

    kernel_quantizer = EDESign
