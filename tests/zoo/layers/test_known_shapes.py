"""Building a model does not trace our layers; shapes and dtypes are those of tracing."""

import pytest
import tensorflow as tf

from zoo.errors import InvalidValueError
from zoo.layers import (
    BatchNorm,
    LeakyClip,
    LearnableShift,
    LearnedScale,
    RPReLU,
    SubsamplePad,
    SymmetricConv2D,
    SymmetricMaxPool2D,
)
from zoo.quantizers import ApproximateSign, EDESign, SelfDistributionSign

LAYERS = [
    LearnableShift,
    RPReLU,
    LeakyClip,
    BatchNorm,
    SymmetricMaxPool2D,
    lambda: LearnedScale("case1"),
    lambda: SubsamplePad(9, strides=3),
    lambda: SymmetricConv2D(6, 5, strides=2, groups=2, use_bias=True),
    lambda: SymmetricConv2D(6, (1, 3), dilation_rate=2),
    lambda: SymmetricConv2D(6, 4, strides=3, padding="valid"),
    lambda: SymmetricConv2D(
        6, 3, input_quantizer=EDESign(3.0), kernel_quantizer=SelfDistributionSign("ede")
    ),
]


def fail(*arguments, **keywords):
    raise AssertionError("Keras traced the layer.")


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("shape", [(8, 8, 4), (9, 7, 4), (None, 11, 4)], ids=str)
@pytest.mark.parametrize("make", LAYERS)
def test_shapes_are_those_of_tracing(make, shape, policy, monkeypatch):
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        for batch in (None, 3):
            image = tf.keras.Input(shape, batch)
            layer = make()
            with monkeypatch.context() as patch:
                patch.setattr(type(layer), "call", fail)
                found = layer(image)
            traced = make()
            traced.call = traced.call  # a `call` on the object may be anything: it is traced
            expected = traced(image)
            assert (found.shape.as_list(), found.dtype) == (
                expected.shape.as_list(),
                expected.dtype,
            )
            ours, theirs = (
                [weight.name.rpartition("/")[2] for weight in each.weights]
                for each in (layer, traced)
            )
            assert ours == theirs
    finally:
        tf.keras.mixed_precision.set_global_policy(None)


class Halved(RPReLU):
    def call(self, inputs):
        return super().call(inputs)[..., ::2]


def test_what_a_user_changes_is_traced():
    image, seen = tf.keras.Input((8, 8, 4)), []

    class OwnQuantizer(ApproximateSign):
        def call(self, inputs):
            seen.append("quantizer")
            return super().call(inputs)

    def own_activation(x):
        seen.append("activation")
        return x

    assert Halved()(image).shape == (None, 8, 8, 2)
    SymmetricConv2D(6, 3, kernel_quantizer=OwnQuantizer())(image)
    SymmetricConv2D(6, 3, activation=own_activation)(image)
    assert seen == ["quantizer", "activation"]
    with pytest.raises(InvalidValueError, match="training must be True or False"):
        BatchNorm()(image, training=tf.keras.Input(()))
