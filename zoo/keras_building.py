"""Building of functional models without tracing the layers whose output shape is known.

To learn a layer's output shape, Keras runs its `call` in a graph of its own; for a network of 160
layers this is most of the time that building takes.
"""

from typing import Any

import tensorflow as tf


class KnownShape:
    """A base of layers whose output shape Keras takes from `compute_output_shape`.

    The output has the layer's compute dtype. This holds only for classes that name this base
    themselves: their subclasses are traced, as a `call` of their own may give other shapes.
    """

    def needs_tracing(self) -> bool:
        """Return whether a part of this layer, such as a quantizer, has an unknown effect."""
        return False

    def _infer_output_signature(self, inputs: Any, args: Any, kwargs: Any, input_masks: Any) -> Any:
        layer: Any = self
        if (
            KnownShape not in type(self).__bases__
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
