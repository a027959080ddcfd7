"""The code that all networks share: the base of the factories that build Keras models.

The file of a network contains Zookeeper factories. A factory's `features` computes a feature map
from the image; the rest (input, classifier, weights) is here.
"""

import math
from typing import Any, Optional, Tuple

import tensorflow as tf

from zoo.adapters.larq_zoo import DimType, ModelFactory
from zoo.adapters.zookeeper import ComponentField, Field
from zoo.adapters.zookeeper_tf import Preprocessing
from zoo.errors import InvalidValueError, UnknownNameError, ZooError
from zoo.keras2 import refuse_keras3, require_keras2
from zoo.layers import BatchNorm, SymmetricConv2D
from zoo.models._functions import copy_weights, variant
from zoo.models._slots import real_initializer, slot


def scaled_channels(channels: tuple[int, ...], width: float) -> tuple[int, ...]:
    """Return the channel counts multiplied by `width`; InvalidValueError if one rounds to 0."""
    if not (math.isfinite(width) and round(min(channels) * width) >= 1):
        raise InvalidValueError(f"width={width} leaves no channels; try 0.25, 0.5, 1 or 2.")
    return tuple(round(count * width) for count in channels)


def check_activation(argument: str, name: str) -> None:
    """Raise UnknownNameError if Keras does not know the activation."""
    try:
        tf.keras.activations.get(name)
    except ValueError:
        functions = set(dir(tf.keras.activations)) - {"deserialize", "get", "serialize"}
        known = [each for each in functions if not each.startswith("_")]
        raise UnknownNameError(argument, name, known) from None


def check_input_tensor(tensor: Any) -> None:
    """Raise InvalidValueError if it is not a Keras 2 tensor (batch, height, width, channels)."""
    refuse_keras3("input_tensor", tensor)
    if not _is_keras_tensor(tensor):
        raise InvalidValueError(
            "input_tensor must be a Keras tensor, such as tf.keras.Input(shape=...) or the output "
            f"of a layer, not {type(tensor).__name__}."
        )
    if tensor.shape.rank != 4 or tensor.shape[-1] is None:
        raise InvalidValueError(
            "input_tensor must have the shape (batch, height, width, channels), not "
            f"{tuple(tensor.shape)}."
        )


class ZooFactory(ModelFactory):
    """Base class of all factories. larq-zoo's ModelFactory has `dataset` and further fields."""

    default_input_shape: Tuple[int, int, int] = (224, 224, 3)
    default_num_classes = 1000
    default_weights: Optional[str] = "imagenet"
    classifier_name = "fc"
    # Layers with weights that `pool` adds; a model without top does not have them.
    head: Tuple[str, ...] = ()

    # The slots. Each family's file sets them; `zoo.models._slots` describes valid values.
    input_quantizer: Any = None  # the sign of the activations before binary convolutions
    kernel_quantizer: Any = None  # the sign of binary kernels; not used in the first stage
    kernel_initializer: Any = None  # initial values of latent kernels
    kernel_constraint: Any = None  # limits latent kernels after each training step
    batch_norm_momentum = 0.9  # for the running statistics; PyTorch calls the same value 0.1

    # In a training task, the image size follows the task's preprocessing.
    preprocessing: Optional[Preprocessing] = ComponentField(allow_missing=True)

    # (height, width, channels) of the image; by default the paper's.
    @Field
    def input_shape(self) -> Optional[Tuple[DimType, DimType, DimType]]:
        return getattr(getattr(self, "preprocessing", None), "input_shape", None)

    # A Keras tensor to use as the image.
    input_tensor: Optional[Any] = Field(None)

    # None for random weights, the name of a registered set, or the path of a file.
    weights: Optional[str] = Field(None)

    # False ends with the last feature map, before pooling and classifier.
    include_top: bool = Field(True)

    # Number of classes; if the weights have other classes, the classifier is new.
    @Field
    def num_classes(self) -> int:
        if self.dataset is None:
            raise TypeError("num_classes must be given, because there is no dataset.")
        return self.dataset.num_classes

    # Activation of the classifier; None gives logits.
    classifier_activation: Optional[str] = Field("softmax")

    # False gives the first training stage: binary activations, real weights.
    binary_weights: bool = Field(True)

    # --- what a network defines -------------------------------------------------------------------

    def features(self, x: tf.Tensor) -> tf.Tensor:
        """Return the feature map of shape (batch, h, w, c) for the image x."""
        raise NotImplementedError

    def pool(self, x: tf.Tensor) -> tf.Tensor:
        """Convert the feature map to the classifier's input, (batch, c)."""
        return tf.keras.layers.GlobalAveragePooling2D(name="avgpool")(x)

    # --- building blocks --------------------------------------------------------------------------

    def real_conv(
        self, x: tf.Tensor, filters: int, size: int, strides: int = 1, *, name: str, **kwargs: Any
    ) -> tf.Tensor:
        """Apply a real-valued convolution with padding `size // 2` and without bias."""
        kwargs.setdefault("kernel_initializer", real_initializer())
        return SymmetricConv2D(filters, size, strides=strides, name=name, **kwargs)(x)

    def binary_conv(
        self,
        x: tf.Tensor,
        filters: int,
        size: int | tuple[int, int],
        strides: int = 1,
        *,
        name: str,
        **kwargs: Any,
    ) -> tf.Tensor:
        """Take the sign of x, pad by `size // 2` zeros and apply a binary convolution.

        With `binary_weights=False` (the first training stage), the kernel is real.
        """
        if "input_quantizer" not in kwargs:
            kwargs["input_quantizer"] = slot(self, "input_quantizer")
        if self.binary_weights:
            for each in ("kernel_quantizer", "kernel_initializer", "kernel_constraint"):
                kwargs[each] = slot(self, each)
        else:
            kwargs["kernel_initializer"] = real_initializer()
        return SymmetricConv2D(filters, size, strides=strides, name=name, **kwargs)(x)

    def batch_norm(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """Apply batch normalisation with PyTorch's constants."""
        return BatchNorm(momentum=self.batch_norm_momentum, name=name)(x)

    def average_pool(self, x: tf.Tensor, strides: int, name: str) -> tf.Tensor:
        """Average over strides x strides pixels; at an odd border, over the existing pixels."""
        if strides == 1:
            return x
        return tf.keras.layers.AveragePooling2D(strides, padding="same", name=name)(x)

    def fixed_size(self, x: tf.Tensor) -> tuple[int, int]:
        """Return height and width of x; InvalidValueError if they are unknown.

        For networks with separate weights for every pixel of this feature map.
        """
        height, width = x.shape[1:3]
        if height is None or width is None:
            raise InvalidValueError(
                f"{self.model_name} has weights for every pixel: give the image's height and width."
            )
        return height, width

    # --- assembly ---------------------------------------------------------------------------------

    @property
    def image_input(self) -> tf.Tensor:
        if tf.keras.backend.image_data_format() != "channels_last":
            raise InvalidValueError(
                "Only channels-last images are supported: call "
                "tf.keras.backend.set_image_data_format('channels_last')."
            )
        if self.input_tensor is not None:
            check_input_tensor(self.input_tensor)
            return self.input_tensor
        return tf.keras.layers.Input(self._checked_input_shape())

    def _checked_input_shape(self) -> tuple:
        shape = tuple(self.input_shape or self.default_input_shape)
        channels = self.default_input_shape[-1]
        sizes_ok = all(size is None or (type(size) is int and size > 0) for size in shape)
        if len(shape) != 3 or not sizes_ok or shape[-1] is None:
            raise InvalidValueError(
                f"input_shape must be three positive numbers (height, width, channels), such as "
                f"{self.default_input_shape}, not {shape}."
            )
        if shape[-1] > 4 and shape[0] in (1, channels):
            raise InvalidValueError(
                f"input_shape {shape} looks channels-first; this network takes "
                f"(height, width, channels), such as {(*shape[1:], shape[0])}."
            )
        return shape

    def build(self) -> tf.keras.models.Model:
        require_keras2()
        if self.include_top and (self.num_classes < 1 or isinstance(self.num_classes, bool)):
            raise InvalidValueError(f"num_classes must be at least 1, not {self.num_classes}.")
        check_activation("classifier_activation", self.classifier_activation or "linear")
        if self.weights is not None:
            self._check_weights()
        image = self.image_input
        try:
            x = self.features(image)
            if self.include_top:
                x = self.pool(x)
        except ZooError:
            raise
        except ValueError as error:
            raise InvalidValueError(
                f"{self.model_name} cannot be built for images of shape {tuple(image.shape[1:])}: "
                f"{str(error).splitlines()[0].rstrip('.')}."
            ) from error
        if self.include_top:
            x = tf.keras.layers.Dense(
                self.num_classes, kernel_initializer=real_initializer(), name=self.classifier_name
            )(x)
            # Logits and probabilities stay in full precision under a mixed policy.
            full_precision = tf.keras.mixed_precision.global_policy().variable_dtype
            x = tf.keras.layers.Activation(
                self.classifier_activation or "linear", dtype=full_precision, name="predictions"
            )(x)
        inputs = tf.keras.utils.get_source_inputs(image)
        try:
            source = inputs[0] if len(inputs) == 1 else inputs
            model = tf.keras.Model(source, x, name=self.model_name)
        except ValueError as error:  # the equal names are in a layer before this network
            raise InvalidValueError(
                f"A layer before {self.model_name} has the same name as one of its layers: rename "
                f"it ({str(error).partition('.')[0]})."
            ) from error
        if self.weights is not None:
            self._load_weights(model, in_front=all(image is not each for each in inputs))
        return model

    def _load_weights(self, model: tf.keras.Model, in_front: bool) -> None:
        """Load the weights of the network's own layers.

        `in_front` means that the model has other layers before them.
        """
        assert self.weights is not None
        if in_front:
            image: Any = self.input_tensor
            own = variant(self, input_tensor=None, input_shape=tuple(image.shape[1:]))
            own_layers = own.layers[1:]  # the first layer is the input
            copy_weights(own_layers, [model.get_layer(each.name) for each in own_layers])
            return
        from zoo.weights.load import load_features

        head = (self.classifier_name, *self.head)
        load_features(model, self.weights, name=self.catalog_name, head=head)

    def _check_weights(self) -> None:
        """Refuse unsuitable weights before the network is built."""
        from zoo.pretrained.records import names_a_file
        from zoo.weights.load import find_weights

        assert self.weights is not None
        if names_a_file(self.weights):
            find_weights(self.weights, self.catalog_name)
            return
        for part in ("binary_weights", "binary_activations"):
            if not getattr(self, part, True):
                raise InvalidValueError(
                    f"The weights '{self.weights}' belong to a binary network: with {part}=False, "
                    "give weights=None or a file."
                )

    @property
    def catalog_name(self) -> str:
        """Return the model's name in the catalog, which is also its function's name."""
        return type(self).__name__.removesuffix("Factory")

    @property
    def model_name(self) -> str:
        """Return Keras's name of the model."""
        return self.catalog_name.lower()


def _is_keras_tensor(value: Any) -> bool:
    try:
        return tf.keras.backend.is_keras_tensor(value)
    except ValueError:  # Keras raises it for anything that is not a tensor
        return False
