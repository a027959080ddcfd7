"""A subclass sets a family's slots as in larq-zoo, and every binary convolution uses them."""

from functools import partial

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from case import ROWS, image_shape, lightest, signed_layers

from zoo.adapters.zookeeper import factory
from zoo.models import ZooFactory, factories
from zoo.models._functions import construct
from zoo.quantizers import EDESign, ScaledSign, SelfDistributionSign

FACTORIES = factories()
BINARY = [name for name, row in ROWS.items() if row.family != "real-valued"]
QUICK = {lightest(ROWS[name].family, "weights") for name in BINARY}
EACH = [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in BINARY]


def signed(name: str, **slots) -> list:
    """Return the binary convolutions of a subclass with these slots."""
    subclass = factory(type(f"Mine{name}Factory", (FACTORIES[name],), slots))
    return signed_layers(construct(subclass, input_shape=image_shape(name)))


@pytest.mark.parametrize("name", EACH)
def test_a_subclass_fills_the_slots(name):
    layers = signed(
        name,
        input_quantizer="swish_sign",
        kernel_quantizer=lq.quantizers.MagnitudeAwareSign,
        kernel_constraint=lq.constraints.WeightClip(0.5),
        kernel_initializer=tf.keras.initializers.RandomUniform(0.2, 0.3),
    )
    assert layers
    for layer in layers:
        assert type(layer.input_quantizer) is lq.quantizers.SwishSign
        assert type(layer.kernel_quantizer) is lq.quantizers.MagnitudeAwareSign
        assert layer.kernel_constraint.clip_value == 0.5
        kernel = layer.kernel.latent_variable.numpy()
        assert kernel.min() >= np.float32(0.2) and kernel.max() <= np.float32(0.3)
    first, second = (layer.kernel.latent_variable.numpy().flat[:4] for layer in layers[:2])
    assert np.any(first != second)  # each has different random numbers


@pytest.mark.parametrize(
    "quantizer",
    [SelfDistributionSign("ede"), SelfDistributionSign, partial(SelfDistributionSign, "ede")],
)
def test_each_layer_has_a_quantizer_with_weights_of_its_own(quantizer):
    layers = signed("BiRealNet20", kernel_quantizer=quantizer)
    assert len({id(layer.kernel_quantizer.alpha) for layer in layers}) == len(layers)
    expected = "ste" if quantizer is SelfDistributionSign else "ede"
    assert {layer.kernel_quantizer.estimator for layer in layers} == {expected}


def test_a_function_is_no_method():
    def my_sign(x):
        return lq.math.sign(x)

    layers = signed("BiRealNet20", input_quantizer=my_sign, kernel_constraint=None)
    assert all(layer.input_quantizer is my_sign for layer in layers)
    assert all(layer.kernel_constraint is None for layer in layers)


def test_the_base_prescribes_none():
    slots = ("input_quantizer", "kernel_quantizer", "kernel_initializer", "kernel_constraint")
    assert [getattr(ZooFactory, name) for name in slots] == [None] * 4


def test_a_field_of_the_paper_still_chooses_the_quantizer():
    for chosen, kind in ((True, lq.quantizers.MagnitudeAwareSign), (False, ScaledSign)):
        model = construct(FACTORIES["ReActNet20"], magnitude_aware_gradient=chosen)
        assert {type(each.kernel_quantizer) for each in signed_layers(model)} == {kind}
    assert {type(e.input_quantizer) for e in signed("SDBNNResNet20")} == {EDESign}
