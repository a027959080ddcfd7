"""Keras models as OpenVINO models whose binary convolutions run as such on x86 (AVX2, AVX-512).

OpenVINO's CPU plugin has kernels for a `BinaryConvolution` of packed bits. They are used, and
exact, if the signs come from a `FakeQuantize` with two levels 0 and 1, the kernel is a constant of
1-bit values, and all shapes are fixed. `to_openvino` builds the graph so; `check_compiled` looks
into the compiled model and warns where it was of no avail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.deploy._walk import calls, check_exportable, runtime
from zoo.errors import DeployError

if TYPE_CHECKING:
    import openvino
    import tensorflow as tf

# Of ImageNet's training images, as torchvision normalises: on a scale from 0 to 1.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def to_openvino(
    model: tf.keras.Model, batch_size: int = 1, *, preprocess: bool = False, binary: bool = True
) -> openvino.Model:
    """Convert a functional Keras model for one batch size.

    Every convolution whose input and kernel are signs becomes a `BinaryConvolution` with a 1-bit
    kernel. Its sums are exactly Keras's; batch norms, scales and shifts are folded into thresholds,
    kernels and each other, which rounds differently.

    Args:
        model: a built functional model for one image size.
        batch_size: images at a time.
        preprocess: take images (batch, height, width, 3) of uint8 from 0 to 255 and normalise them
            by ImageNet's mean and deviation inside the graph.
        binary: False computes binary convolutions in float32, to compare with.

    Raises:
        DeployError: a layer is not supported, a size is open, or OpenVINO is not installed.
    """
    check_exportable(model, batch_size)
    ov = runtime("openvino", "OpenVINO", "openvino")
    from zoo.deploy import _ov_layers, _ov_pooling  # noqa: F401  (the latter registers its layers)
    from zoo.deploy._ov_values import Value

    values: dict[int, Value] = {}
    parameters = []
    for tensor in model.inputs:
        parameter, values[id(tensor)] = _image(tensor, batch_size, preprocess)
        parameters.append(parameter)
    for call in calls(model):
        if not call.inputs:
            if call.outputs[0] not in values:
                raise DeployError(f"'{call.layer.name}' is no input of the model.")
            continue
        unbound = [key for key in call.inputs if key not in values]
        if unbound or len(call.outputs) != 1:
            raise _ov_layers.unsupported(call.layer, "it has several outputs")
        inputs = [values[key] for key in call.inputs]
        values[call.outputs[0]] = _ov_layers.build(call.layer, inputs, binary)

    results = [_result(tensor, values[id(tensor)]) for tensor in model.outputs]
    converted = ov.Model(results, parameters, model.name)
    converted.validate_nodes_and_infer_types()
    return converted


def _image(tensor: Any, batch_size: int, preprocess: bool) -> tuple[Any, Any]:
    """The input (batch, h, w, c), and its value with channels first."""
    import openvino as ov
    from openvino import opset15 as ops

    from zoo.deploy._ov_values import Term, Value

    shape = [batch_size, *tensor.shape[1:]]
    if preprocess and (len(shape) != 4 or shape[-1] != len(MEAN)):
        raise DeployError(f"Only colour images are normalised, not inputs of shape {tuple(shape)}.")
    parameter = ops.parameter(shape, ov.Type.u8 if preprocess else ov.Type.f32)
    name = tensor.node.layer.name
    parameter.set_friendly_name(name)
    parameter.output(0).set_names({name})
    node = ops.convert(parameter, "f32") if preprocess else parameter
    if len(shape) == 4:
        node = ops.transpose(node, ops.constant(np.array([0, 3, 1, 2])))
    value = Value([Term(node.output(0))], tuple(node.output(0).get_shape()))
    if preprocess:
        mean, std = np.array(MEAN), np.array(STD)
        value = value.affine(1 / (255 * std), -mean / std)
    return parameter, value


def _result(tensor: Any, value: Any) -> Any:
    from openvino import opset15 as ops

    node = value.output()
    if len(value.shape) == 4:
        node = ops.transpose(node, ops.constant(np.array([0, 2, 3, 1]))).output(0)
    name = tensor.node.layer.name
    node.set_names({name})
    return ops.result(node)
