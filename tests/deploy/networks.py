"""Networks for the export's tests, and functions that compare sums, signs and outputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
import tensorflow as tf
from case import ROWS, build, randomize
from openvino import opset15

from tests.small_networks import small_networks
from zoo.deploy import to_openvino
from zoo.deploy._signs import is_sign

# The smallest network of each paper, with arguments that make it smaller; SDBNNResNet20 has gates.
QUICK: dict[str, dict[str, Any]] = {
    # 4 and 12 channels are not multiples of 8.
    "ReActNetA": {"width": 0.375, "stem_strides": 1, "input_shape": (48, 48, 3)},
    "ReActNetB": {"width": 0.125, "stem_strides": 1, "input_shape": (48, 48, 3)},
    "ReActNet20": {},
    "BiRealNet20": {},
    "XNORNetPlusPlusResNet20": {"scale": "case4"},
    "SDBNNResNet20": {},
    "RealResNet20": {"width": 0.25},
}
assert {ROWS[name].family for name in QUICK} == {row.family for row in ROWS.values()}


def quick_network(name: str) -> tf.keras.Model:
    """Build a small network of a family with random weights; it returns logits."""
    with small_networks():
        return randomize(build(name, classifier_activation=None, **QUICK[name]))


def turned(model: tf.keras.Model) -> tf.keras.Model:
    """Make half of all batch norm factors negative: this flips signs. Training does it too."""
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization) and layer.scale:
            factors = layer.gamma.numpy()
            layer.gamma.assign(np.where(np.arange(len(factors)) % 2, factors, -factors))
    return model


def beginning(model: tf.keras.Model, convolutions: int) -> tf.keras.Model:
    """Return the model up to the binary convolution with this number."""
    last = model.get_layer(binary_names(model)[convolutions])
    return tf.keras.Model(model.inputs, last.input)


def binary_names(model: tf.keras.Model) -> list[str]:
    """Return the layers with signs as input and kernels of one magnitude per filter."""
    found = []
    for layer in model.layers:
        if is_sign(getattr(layer, "input_quantizer", None)) and layer.kernel_quantizer is not None:
            kernel = kernel_of(layer)
            magnitude = np.abs(kernel)
            if (magnitude == magnitude.max(axis=tuple(range(kernel.ndim - 1)))).all():
                found.append(layer.name)
    return found


def kernel_of(layer: Any) -> np.ndarray:
    """Return the quantised kernel of a layer."""
    return layer.kernel_quantizer(tf.convert_to_tensor(layer.kernel)).numpy()


def binary_nodes(converted: ov.Model) -> list[Any]:
    return [each for each in converted.get_ops() if each.get_type_name() == "BinaryConvolution"]


@dataclass
class Sums:
    """The sums of one binary convolution in OpenVINO, and Keras's sums from the same signs.

    Attributes:
        name: names of the Keras layers, joined by "+" if two became one.
        theirs, ours: sums of signs, (batch, height, width, filters).
        other_signs: number of inputs with another sign in the Keras model.
        signs: number of inputs.
        margin: the largest absolute value, in Keras, of an input with another sign.
    """

    name: str
    theirs: np.ndarray
    ours: np.ndarray
    other_signs: int
    signs: int
    margin: float


def compared_sums(model: tf.keras.Model, batch: np.ndarray) -> list[Sums]:
    """Run every binary convolution of the exported model in OpenVINO; return it with Keras's."""
    converted = to_openvino(model, len(batch))
    nodes = binary_nodes(converted)
    signs = [node.input_value(0).get_node() for node in nodes]
    assert {node.get_type_name() for node in signs} <= {"FakeQuantize"}
    # Signs are bits only inside the plugin, so read the values before the threshold.
    outputs = [node.output(0) for node in nodes] + [node.input_value(0) for node in signs]
    probe = ov.Model([opset15.result(each) for each in outputs], converted.get_parameters())
    found = ov.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([batch])
    values = [np.moveaxis(found[index], 1, -1) for index in range(len(outputs))]
    layers = [[model.get_layer(name) for name in names_of(node)] for node in nodes]
    keras = tf.keras.Model(model.inputs, [each[0].input for each in layers])(batch, training=False)
    keras = [keras] if len(nodes) == 1 else keras
    sums = []
    for number, (node, sign) in enumerate(zip(nodes, signs, strict=True)):
        turns = turned_channels(node, layers[number])
        threshold = sign.input_value(1).get_node().data.reshape(-1)
        bits = (values[len(nodes) + number] > threshold)[..., : len(turns)]
        inputs = np.where(bits != turns, 1, -1).astype(np.float32)
        real = np.reshape(keras[number], inputs.shape)
        others = np.where(real >= 0, 1, -1) != inputs
        sums.append(
            Sums(
                node.get_friendly_name(),
                values[number],
                np.concatenate([summed(layer, inputs) for layer in layers[number]], -1),
                int(others.sum()),
                others.size,
                float(np.abs(real[others]).max(initial=0)),
            )
        )
    return sums


def names_of(node: Any) -> list[str]:
    return node.get_friendly_name().split("+")


def kernel_bits(node: Any) -> np.ndarray:
    """Return the 1-bit kernel of a node, (filters, channels, height, width)."""
    kernel = node.input_value(1).get_node()
    assert kernel.get_element_type() == ov.Type.u1
    shape = tuple(kernel.get_output_shape(0))
    packed = np.frombuffer(kernel.get_data().tobytes(), np.uint8)
    return np.unpackbits(packed, count=np.prod(shape), bitorder="little").reshape(shape)


def turned_channels(node: Any, layers: list[Any]) -> np.ndarray:
    """Return the input channels with flipped signs, both in the kernel and in the image."""
    keras = np.concatenate([kernel_of(layer) for layer in layers], -1)
    if keras.ndim == 2:  # the kernel of a dense layer
        keras = keras[None, None]
    keras = keras.transpose(3, 2, 0, 1) > 0
    bits = kernel_bits(node)[:, : keras.shape[1]]  # the remaining bits fill a byte
    differ = keras != bits.astype(bool)
    some, every = differ.any(axis=(0, 2, 3)), differ.all(axis=(0, 2, 3))
    assert (some == every).all(), "neither the kernel's signs nor their contraries"
    return every


def summed(layer: Any, signs: np.ndarray) -> np.ndarray:
    """Let the layer apply the signs of its kernel to signs; the sums are whole numbers."""
    kernel = np.where(kernel_of(layer) > 0, 1, -1).astype(np.float32)
    if kernel.ndim == 2:
        return signs @ kernel
    return layer.convolution_op(tf.constant(signs), tf.constant(kernel)).numpy()


def relative(found: Any, expected: Any) -> float:
    """Relative L2 difference of outputs."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
