"""Export Keras models to OpenVINO models with binary convolutions on x86 (AVX2, AVX-512).

OpenVINO's CPU plugin has kernels for a `BinaryConvolution` of packed bits. It uses them, and
they are exact, if the signs come from a `FakeQuantize` with two levels 0 and 1, the kernel is a
constant of 1-bit values, and all shapes are fixed. `to_openvino` builds such a graph;
`check_compiled` inspects the compiled model and warns if a convolution fell back to a reference
kernel.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.deploy.openvino.compiled import openvino_runtime
from zoo.deploy.walk import calls, check_exportable, in_float32
from zoo.errors import DeployError
from zoo.files import drafted
from zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import openvino
    import tensorflow as tf

Scaling = tuple[np.ndarray, np.ndarray] | None  # mean and deviation for normalising images
MOST_CHECKED = 4  # random images that are compared with Keras


def to_openvino(
    model: tf.keras.Model,
    batch_size: int = 1,
    *,
    preprocess: bool = False,
    binary: bool = True,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> openvino.Model:
    """Convert a functional Keras model for one batch size.

    Every convolution with signs as input and kernel becomes a `BinaryConvolution` with a 1-bit
    kernel. Its sums are exactly equal to Keras's. Batch norms, scales and shifts are folded into
    thresholds, kernels and each other, which rounds differently.

    Args:
        model: a built functional model for one image size.
        batch_size: the batch size.
        preprocess: take images (batch, height, width, channels) of uint8 from 0 to 255 and
            normalise them inside the graph.
        binary: False computes binary convolutions in float32, for comparison.
        mean: per-channel values that `preprocess` subtracts after a division by 255.
        std: per-channel values by which `preprocess` then divides.

    The result is compared with the Keras model on random images before it is returned.

    Raises:
        DeployError: a layer is not supported, or its class changes the computation of a known
            class; a size is not fixed; the outputs differ from Keras; OpenVINO is not installed.
    """
    return checked_openvino(
        model, batch_size, preprocess=preprocess, binary=binary, mean=mean, std=std
    )[0]


def checked_openvino(
    model: tf.keras.Model,
    batch_size: int = 1,
    *,
    preprocess: bool = False,
    binary: bool = True,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> tuple[openvino.Model, float]:
    """Call `to_openvino`; also return how much the result differs from Keras (relative L2)."""
    check_exportable(model, batch_size)
    openvino_runtime()
    model = in_float32(model)
    scaling = (np.array(mean), np.array(std)) if preprocess else None
    converted = _converted(model, batch_size, scaling, binary)
    return converted, _difference(model, converted, batch_size, scaling)


def _converted(
    model: tf.keras.Model, batch_size: int, scaling: Scaling, binary: bool
) -> openvino.Model:
    ov = openvino_runtime()
    _builders()
    from zoo.deploy.openvino import _layers as _ov_layers
    from zoo.deploy.openvino._values import Value

    values: dict[int, Value] = {}
    parameters = []
    for tensor in model.inputs:
        parameter, values[id(tensor)] = _image(tensor, batch_size, scaling)
        parameters.append(parameter)
    for call in calls(model):
        if not call.inputs:
            if call.outputs[0] not in values:
                raise DeployError(f"'{call.layer.name}' is not an input of the model.")
            continue
        unbound = [key for key in call.inputs if key not in values]
        if unbound or len(call.outputs) != 1:
            raise _ov_layers.unsupported(call.layer, "it has several outputs")
        inputs = [values[key] for key in call.inputs]
        values[call.outputs[0]] = _ov_layers.build(call.layer, inputs, binary, call.plain)

    results = [
        _result(name, values[id(tensor)])
        for name, tensor in zip(model.output_names, model.outputs, strict=True)
    ]
    converted = ov.Model(results, parameters, model.name)
    converted.validate_nodes_and_infer_types()
    return converted


def _builders() -> dict[type, Any]:
    """Return the functions that build each kind of layer."""
    # Importing these modules registers the layers that they build.
    from zoo.deploy.openvino import (
        _convolutions,  # noqa: F401
        _pooling,  # noqa: F401
    )
    from zoo.deploy.openvino import _layers as _ov_layers

    return _ov_layers.BUILDERS


def _parameter(shape: Sequence[int], kind: Any = None) -> tuple[Any, Any]:
    """Return an input (batch, h, w, c) or (batch, c), and its value: float32, channels first."""
    import openvino as ov
    from openvino import opset15 as ops

    from zoo.deploy.openvino._values import Term, Value

    parameter = ops.parameter(list(shape), kind or ov.Type.f32)
    node = parameter if kind in (None, ov.Type.f32) else ops.convert(parameter, "f32")
    if len(shape) == 4:
        node = ops.transpose(node, ops.constant(np.array([0, 3, 1, 2])))
    return parameter, Value([Term(node.output(0))], tuple(node.output(0).get_shape()))


def _image(tensor: Any, batch_size: int, scaling: Scaling) -> tuple[Any, Any]:
    """Return an input of the model, and its value."""
    import openvino as ov

    shape = [batch_size, *tensor.shape[1:]]
    if len(shape) not in (2, 4):
        raise DeployError(
            f"Only images and vectors can be exported, not inputs of shape {tuple(shape)}."
        )
    if scaling and (len(shape) != 4 or shape[-1] != len(scaling[0])):
        raise DeployError(
            f"Only images of {len(scaling[0])} channels are normalised, as mean and std have, not "
            f"inputs of shape {tuple(shape)}."
        )
    parameter, value = _parameter(shape, ov.Type.u8 if scaling else ov.Type.f32)
    name = tensor.node.layer.name
    parameter.set_friendly_name(name)
    parameter.output(0).set_names({name})
    if scaling:
        mean, std = scaling
        value = value.affine(1 / (255 * std), -mean / std)
    return parameter, value


def _result(name: str, value: Any) -> Any:
    from openvino import opset15 as ops

    node = value.output()
    if len(value.shape) == 4:
        node = ops.transpose(node, ops.constant(np.array([0, 2, 3, 1]))).output(0)
    node.add_names({name})
    return ops.result(node)


def _difference(
    model: tf.keras.Model, converted: openvino.Model, batch_size: int, scaling: Scaling
) -> float:
    """Return how much an export differs from Keras on random images; DeployError if wrong."""
    from zoo.deploy._check import check_export, random_inputs
    from zoo.deploy._signs import takes_signs

    given = random_inputs(model, min(batch_size, MOST_CHECKED))
    fed: list[np.ndarray] = [each.astype(np.float32) for each in given]
    if scaling:
        mean, std = scaling
        fed = [np.clip(128 + 60 * each, 0, 255).astype(np.uint8) for each in given]
        given = [((each / 255 - mean) / std).astype(np.float32) for each in fed]
    fed = [np.resize(each, (batch_size, *each.shape[1:])) for each in fed]
    results = _run(converted, fed)
    found = [each[: len(given[0])] for each in results]

    def alone(call: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
        from zoo.deploy.openvino import _layers as _ov_layers

        parameters, values = zip(*(_parameter(each.shape) for each in inputs), strict=True)
        result = _result("alone", _ov_layers.build(call.layer, list(values), True))
        runtime_model = openvino_runtime().Model([result], list(parameters), "alone")
        return _run(runtime_model, [np.asarray(each, np.float32) for each in inputs])

    return check_export(model, given, found, alone, takes_signs(model))


def _run(converted: openvino.Model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino_runtime().Core().compile_model(converted, "CPU", settings)
    results = compiled(inputs)
    return [np.array(results[index]) for index in range(len(compiled.outputs))]


def save_openvino(model: openvino.Model, directory: str | PathLike[str]) -> tuple[Path, Path]:
    """Write `directory`/model.xml and model.bin, with 1 bit per weight of binary kernels.

    The directory is created if it does not exist; to load it, give OpenVINO the path of model.xml.

    Raises:
        DeployError: the directory cannot be written.
    """
    ov = openvino_runtime()
    directory = Path(directory)
    graph, weights = directory / "model.xml", directory / "model.bin"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with drafted(graph) as draft:
            # If the directory is not writable, this error says more than OpenVINO's.
            draft.with_suffix(".bin").open("ab").close()
            ov.save_model(model, draft, compress_to_fp16=False)
            tree = ElementTree.parse(draft)
            for element in tree.iter():  # indentation is half of the file
                element.text = (element.text or "").strip() or None
                element.tail = None
            tree.write(draft, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise DeployError(
            f"'{directory}' cannot be written: {error.strerror or type(error).__name__}."
        ) from error
    return graph, weights
