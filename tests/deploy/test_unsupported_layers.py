"""What OpenVINO's operations or exported C cannot express is refused, with the layer's name."""

import pytest
import tensorflow as tf

from zoo.deploy import to_c, to_openvino
from zoo.errors import DeployError

layers = tf.keras.layers


def c(model, folder):
    return to_c(model, folder / "c")


def openvino(model, folder):
    return to_openvino(model)


BOTH = pytest.mark.parametrize("export", [c, openvino])
LAYERS = {
    "batch norm": (lambda: layers.BatchNormalization(axis=1), "not normalise the last axis"),
    "softmax": (lambda: layers.Softmax(axis=1), "not act on the last axis"),
    "relu": (lambda: layers.ReLU(threshold=0.5), "only a plain ReLU"),
    "prelu": (lambda: layers.PReLU(), "one slope per channel"),
    "permute": (lambda: tf.keras.Sequential([layers.Flatten(), layers.Permute((1,))]), "permuted"),
    "reshape": (lambda: layers.Reshape((2, 48)), "images and vectors"),
    "convolution": (lambda: layers.Conv2D(2, 3, data_format="channels_first"), "channels_last"),
    "flatten": (lambda: layers.Flatten(data_format="channels_first"), "channels_last"),
    "pool": (lambda: layers.MaxPooling2D(data_format="channels_first"), "channels_last"),
}


@BOTH
@pytest.mark.parametrize("name", LAYERS)
def test_layers(export, name, tmp_path):
    make, text = LAYERS[name]
    model = tf.keras.Sequential([tf.keras.Input((4, 4, 6)), make()])
    refused(export, model, tmp_path, text)


@BOTH
def test_a_concatenation_of_rows(export, tmp_path):
    x = tf.keras.Input((4, 4, 6))
    joined = layers.Concatenate(axis=1)([x, x])
    refused(export, tf.keras.Model(x, joined), tmp_path, "not act on the channels")


@pytest.mark.parametrize(
    ("export", "factor", "text"),
    [
        (openvino, layers.GlobalAveragePooling2D(), "as many dimensions"),
        (c, layers.Conv2D(1, 1), r"shapes \(4, 4, 1\) and \(4, 4, 6\) cannot be combined"),
    ],
)
def test_factors(export, factor, text, tmp_path):
    x = tf.keras.Input((4, 4, 6))
    product = layers.Multiply()([x, factor(x)])
    refused(export, tf.keras.Model(x, product), tmp_path, text)


def refused(export, model, folder, text):
    with pytest.raises(DeployError, match=text) as error:
        export(model, folder)
    said = str(error.value)
    assert said.endswith(".") and "\n" not in said
    assert not any(folder.iterdir())
