"""Building of functional models without tracing the layers whose output shape is known.

To learn a layer's output shape, Keras runs its `call` in a graph of its own; for a network of 160
layers this is most of the time that building takes.
"""

from typing import Any

import tensorflow as tf

_known: set[type] = set()


def shape_is_known(cls: type) -> type:
    """Let Keras take a layer's output shape from its `compute_output_shape`; a decorator.

    The class must be a subclass of `KnownShape`. Its subclasses are traced, as a `call` of their
    own may give other shapes. The output has the layer's compute dtype.
    """
    _known.add(cls)
    return cls


class KnownShape:
    """A layer that Keras need not trace to build a model; see `shape_is_known`."""

    def needs_tracing(self) -> bool:
        """Return whether a part of this layer, such as a quantizer, has an unknown effect."""
        return False

    def _infer_output_signature(self, inputs: Any, args: Any, kwargs: Any, input_masks: Any) -> Any:
        layer: Any = self
        if (
            type(self) not in _known
            or "call" in vars(self)
            or self.needs_tracing()
            or layer.activity_regularizer is not None
            or not tf.keras.backend.is_keras_tensor(inputs)
            or not inputs.dtype.is_floating
            or any(each is not None for each in tf.nest.flatten(input_masks))
            or not all(
                each is None or isinstance(each, int) for each in tf.nest.flatten((args, kwargs))
            )
        ):
            return super()._infer_output_signature(inputs, args, kwargs, input_masks)  # type: ignore[misc]
        with tf.keras.backend.name_scope(layer._name_scope()):
            layer._maybe_build(inputs)
        shape = layer.compute_output_shape(inputs.shape)
        layer._set_save_spec(inputs, args, kwargs)
        return tf.keras.__internal__.KerasTensor(tf.TensorSpec(shape, layer.compute_dtype))
