"""Every layer is saved, loaded and run in 16 bits."""

import json

import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.zoo.layers.oracles import normal
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
from zoo.quantizers import EDESign, SelfDistributionSign

NON_DEFAULT = [
    (LearnableShift(name="other"), {"name": "other"}),
    (RPReLU(slope=0.5), {"slope": 0.5}),
    (LeakyClip(slope=0.3), {"slope": 0.3}),
    (LeakyClip(slope=0.0), {"slope": 0.0}),
    (SubsamplePad(9, strides=3), {"filters": 9, "strides": 3}),
    *((LearnedScale(case, 0.1), {"case": case, "initial": 0.1}) for case in LearnedScale.CASES),
    (SymmetricMaxPool2D(trainable=False), {"trainable": False}),
    (BatchNorm(momentum=0.7, epsilon=1e-3), {"momentum": 0.7, "epsilon": 1e-3}),
    (BatchNorm(scale=False), {"scale": False, "center": True}),
    (
        SymmetricConv2D(4, 5, strides=2, groups=2, dilation_rate=1, use_bias=True),
        {"filters": 4, "kernel_size": (5, 5), "strides": (2, 2), "groups": 2, "use_bias": True},
    ),
    (SymmetricConv2D(4, 4, padding="valid"), {"padding": "valid", "kernel_size": (4, 4)}),
    (SymmetricConv2D(4, 3, kernel_quantizer="magnitude_aware_sign"), {}),
    (
        SymmetricConv2D(
            4,
            3,
            input_quantizer=EDESign(3.0),
            kernel_quantizer=SelfDistributionSign("ede", 2.0),
            kernel_constraint="weight_clip",
        ),
        {"use_bias": False, "padding": "same"},
    ),
]
LABELS = [f"{index}-{type(layer).__name__}" for index, (layer, _) in enumerate(NON_DEFAULT)]


@pytest.mark.parametrize(("layer", "arguments"), NON_DEFAULT, ids=LABELS)
def test_round_trip(layer, arguments):
    copy = tf.keras.layers.deserialize(tf.keras.layers.serialize(layer))
    assert type(copy) is type(layer)
    assert arguments.items() <= copy.get_config().items()
    assert copy.get_config() == layer.get_config()
    twin = type(layer).from_config(layer.get_config())
    x = tf.constant(normal((2, 6, 6, 4), "float32"))
    expected = twin(x)
    copy.build(x.shape)
    copy.set_weights(twin.get_weights())
    np.testing.assert_array_equal(copy(x), expected)


def comparable(config):
    """Return a configuration as text, without the shapes that a quantizer was last built with."""

    def pruned(value):
        if isinstance(value, dict):
            return {k: pruned(v) for k, v in value.items() if k != "build_config"}
        return value

    return json.dumps(pruned(config))


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""], ids=["keras", "hdf5", "savedmodel"])
def test_saved_model_of_all_layers(suffix, tmp_path):
    x = image = tf.keras.Input((8, 8, 4))
    originals = [layer for layer, _ in NON_DEFAULT]
    if not suffix:  # a SavedModel takes a second per layer, so only the last case of each class
        originals = {type(layer): layer for layer in originals}.values()
    layers = [type(layer).from_config(layer.get_config()) for layer in originals]
    outputs = [tf.keras.layers.GlobalAveragePooling2D()(layer(x)) for layer in layers]
    model = tf.keras.Model(image, tf.keras.layers.concatenate(outputs))
    for seed, weight in enumerate(model.weights):
        weight.assign(0.5 + np.abs(normal(weight.shape, "float32", seed)))
    path = str(tmp_path / f"model{suffix}")
    model.save(path)
    loaded = zoo.load_model(path, safe_mode=bool(suffix))  # a SavedModel is a program
    batch = normal((2, 8, 8, 4), "float32")
    np.testing.assert_allclose(loaded(batch), model(batch), rtol=1e-6, atol=1e-6)
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    for old, new in zip(model.layers, loaded.layers, strict=True):
        assert comparable(new.get_config()) == comparable(old.get_config())


@pytest.mark.parametrize(("layer", "arguments"), NON_DEFAULT, ids=LABELS)
def test_mixed_precision(layer, arguments, policy):
    """16-bit outputs, 32-bit weights, finite gradients close to those of float32."""
    config = {key: value for key, value in layer.get_config().items() if key != "dtype"}
    # Quantizers have their own dtype, so create them again under the policy.
    for key in ("input_quantizer", "kernel_quantizer"):
        if isinstance(config.get(key), dict):
            config[key]["config"].pop("dtype", None)
    twin = type(layer).from_config(config)
    x = tf.constant(normal((2, 6, 6, 4), "float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = twin(x, training=True) if isinstance(twin, BatchNorm) else twin(x)
    assert y.dtype == policy.compute_dtype
    assert all(weight.dtype == tf.float32 for weight in twin.weights)
    for gradient in tape.gradient(y, [x, *twin.trainable_weights]):
        assert gradient.dtype == tf.float32 and np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "make",
    [SymmetricMaxPool2D, lambda: SubsamplePad(9), LearnedScale, lambda: SymmetricConv2D(4, 3)],
)
@pytest.mark.parametrize("shape", [(4,), (6, 4), (6, 6, 6, 4)], ids=str)
def test_layers_of_images_refuse_other_ranks(make, shape):
    for inputs in (tf.keras.Input(shape), tf.zeros((1, *shape))):
        with pytest.raises(ValueError, match="expected ndim=4") as caught:
            make()(inputs)
        assert "\n" not in str(caught.value)
