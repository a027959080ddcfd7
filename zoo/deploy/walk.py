"""List the calls of a functional Keras model in order; check a model before every export."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.errors import DeployError, InvalidValueError
from zoo.keras2 import require_keras2

if TYPE_CHECKING:
    import tensorflow as tf


POLICIES_16 = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True)
class Call:
    """One layer applied to tensors; nested models are already opened.

    Attributes:
        layer: the Keras layer.
        inputs, outputs: keys of the tensors; the call that makes a tensor and the calls that read
            it use the same key.
        node: Keras's record of the call.
    """

    layer: tf.keras.layers.Layer
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    node: Any

    @property
    def plain(self) -> bool:
        """Return whether the layer was called only with its inputs, without other arguments."""
        import tensorflow as tf

        further = [*self.node.call_args[1:], *self.node.call_kwargs.values()]
        return all(value is None or value is False for value in tf.nest.flatten(further))

    def compute(self, inputs: Sequence[Any]) -> list[Any]:
        """Return the outputs that Keras computes for these inputs, in inference mode."""
        import tensorflow as tf

        tensors: dict[str, list[Any]] = {}
        for tensor, value in zip(self.node.keras_inputs, inputs, strict=True):
            tensors.setdefault(str(id(tensor)), []).append(value)
        arguments, keywords = self.node.map_arguments(tensors)
        if self.layer._expects_training_arg and len(arguments) == 1:
            keywords["training"] = False
        return tf.nest.flatten(self.layer(*arguments, **keywords))


def check_exportable(model: Any, batch_size: int = 1) -> None:
    """Raise a ZooError unless `model` is a built functional model with a fixed image size."""
    require_keras2()
    import tensorflow as tf

    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidValueError(
            f"batch_size must be a whole number of at least 1, not {batch_size}."
        )
    if not isinstance(model, tf.keras.Model):
        raise DeployError(f"Only a tf.keras.Model can be exported, not {type(model).__name__}.")
    if not model.built or not getattr(model, "_is_graph_network", False):
        raise DeployError(
            "The model is not built: first call it or give its input shape (a subclass of "
            "tf.keras.Model cannot be exported)."
        )
    _require_keras_call(model)
    for image in model.inputs:
        if None in image.shape[1:]:
            raise DeployError(
                f"The input shape {tuple(image.shape)} is not fixed, but binary kernels need "
                "fixed shapes: build the model for one image size, such as input_shape=(224, 224, "
                "3)."
            )


def calls(model: tf.keras.Model) -> Iterator[Call]:
    """Yield every layer call of a functional model, inputs first."""
    import tensorflow as tf

    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            inputs = tuple(id(tensor) for tensor in node.keras_inputs)
            outputs = tuple(id(tensor) for tensor in tf.nest.flatten(node.outputs))
            if not node.is_input and node.call_kwargs.get("training") not in (None, False, 0):
                raise DeployError(
                    f"The layer '{node.layer.name}' cannot be exported: it is called with "
                    "training=True, but exports compute inference."
                )
            if isinstance(node.layer, tf.keras.Model) and not node.is_input:
                yield from _opened(node.layer, inputs, outputs)
            else:
                yield Call(node.layer, inputs, outputs, node)


def _opened(
    inner: tf.keras.Model, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> Iterator[Call]:
    """Yield the calls of a nested model, with the outer model's keys for its inputs and outputs."""
    if not getattr(inner, "_is_graph_network", False):
        raise DeployError(
            f"The layer '{inner.name}' is a subclass of tf.keras.Model, which cannot be exported."
        )
    _require_keras_call(inner)
    outer = dict(zip((id(tensor) for tensor in inner.inputs), inputs, strict=True))
    outer |= dict(zip((id(tensor) for tensor in inner.outputs), outputs, strict=True))
    for call in calls(inner):
        if call.outputs[0] in outer and not call.inputs:
            continue  # the inner model's input layer
        reads = tuple(outer.get(key, key) for key in call.inputs)
        makes = tuple(outer.get(key, key) for key in call.outputs)
        yield Call(call.layer, reads, makes, call.node)


def _require_keras_call(model: tf.keras.Model) -> None:
    """Raise a DeployError if `model` may compute something else than its graph."""
    import tensorflow as tf
    from tf_keras.src.engine.functional import Functional

    for name in ("__call__", "call", "_run_internal_graph"):
        own = inspect.getattr_static(type(model), name)
        kinds = (Functional, tf.keras.Sequential)
        if name in vars(model) or all(own is not inspect.getattr_static(k, name) for k in kinds):
            raise DeployError(
                f"The model '{model.name}' cannot be exported: its class {type(model).__name__} "
                f"has a '{name}' of its own, so its layers alone do not define what it computes."
            )


def in_float32(model: tf.keras.Model) -> tf.keras.Model:
    """Return the model, or a copy with its weights in which all layers compute in float32.

    Raises:
        DeployError: a layer computes in 16 bits and cannot be rebuilt from its `get_config`.
    """
    import tensorflow as tf

    halves = ("float16", "bfloat16")
    if all(getattr(layer, "compute_dtype", None) not in halves for layer in model.submodules):
        return model

    def made_anew(layer: Any) -> Any:
        return type(layer).from_config(_with_float32(layer.get_config()))

    try:
        again = tf.keras.models.clone_model(model, clone_function=made_anew)
        again.set_weights(model.get_weights())
    except Exception as error:  # a user's layer may raise any error
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DeployError(
            f"The model '{model.name}' computes in 16 bits and cannot be rebuilt in float32 "
            f"({reason}): build it under tf.keras.mixed_precision.set_global_policy('float32')."
        ) from error
    return again


@contextmanager
def explicit_sigmoids(model: tf.keras.Model) -> Iterator[None]:
    """Let the model's layers compute sigmoids by `sigmoid` while a converter traces them.

    A runtime's own sigmoid may differ from Keras's in the last bit. SD-BNN's gates add it to values
    that a clip made -1: where it is exactly 1, the sign is +1, else -1.
    """
    import tensorflow as tf

    known = (tf.keras.activations.sigmoid, tf.sigmoid, tf.nn.sigmoid)
    layers = [each for each in model.submodules if getattr(each, "activation", None) in known]
    before = [layer.activation for layer in layers]
    try:
        for layer in layers:
            layer.activation = sigmoid
        yield
    finally:
        for layer, activation in zip(layers, before, strict=True):
            layer.activation = activation


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x)), as Keras computes it in float32; only for inference.

    TensorFlow Lite's converter would replace that very formula by its own sigmoid. The factors of
    two change no bit.
    """
    import tensorflow as tf

    return 2 / (2 + 2 * tf.exp(-x))


def _with_float32(config: Any) -> Any:
    """Return a configuration in which float32 replaces each 16-bit policy."""
    if isinstance(config, dict):
        inner = config.get("config")
        if isinstance(inner, dict) and inner.get("name") in POLICIES_16:
            return "float32"  # a policy in Keras's configuration
        return {key: _with_float32(value) for key, value in config.items()}
    if isinstance(config, tuple):
        return tuple(map(_with_float32, config))
    if isinstance(config, list):
        return [_with_float32(value) for value in config]
    return "float32" if isinstance(config, str) and config in POLICIES_16 else config
