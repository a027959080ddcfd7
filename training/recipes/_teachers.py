"""Teachers from `tf.keras.applications`, which include their preprocessing.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import importlib
from typing import Optional, Tuple

import numpy as np
import tensorflow as tf

from training.settings.discovery import fold
from zoo.adapters.larq_zoo import DimType, ModelFactory
from zoo.adapters.zookeeper import ComponentField, Field, factory
from zoo.adapters.zookeeper_tf import Preprocessing
from zoo.errors import InvalidValueError, UnknownNameError, WeightsError
from zoo.files import expanded
from zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from zoo.pretrained.records import names_a_file
from zoo.weights.files import check_keras


def applications() -> dict[str, str]:
    """Return the networks of `tf.keras.applications`, each with the module of its preprocessing."""
    found = {}
    for module_name in dir(tf.keras.applications):
        module = getattr(tf.keras.applications, module_name)
        if hasattr(module, "preprocess_input"):
            for name in dir(module):
                if name[0].isupper() and callable(getattr(module, name)):
                    found[name] = module.__name__
    return found


@factory
class KerasApplicationFactory(ModelFactory):
    """A network of `tf.keras.applications`, e.g. `teacher.application=ResNet50`.

    It takes images as the recipes prepare them: normalised by torchvision's mean and standard
    deviation. It converts the pixels back to [0, 255] and applies the network's preprocessing.
    """

    default_num_classes = 1000

    preprocessing: Optional[Preprocessing] = ComponentField(allow_missing=True)

    # (height, width, 3) of the image.
    @Field
    def input_shape(self) -> Optional[Tuple[DimType, DimType, DimType]]:
        return getattr(getattr(self, "preprocessing", None), "input_shape", None)

    # Name of the network.
    application: str = Field("ResNet50")

    # "imagenet" (Keras downloads it), None, or the path of a file.
    weights: Optional[str] = Field("imagenet")

    # Activation of the classifier; None gives logits.
    classifier_activation: Optional[str] = Field("softmax")

    @classmethod
    def setting_for(cls, name: str) -> str | None:
        """Return the setting that selects the network `name`; None if there is no such network."""
        known = [each for each in applications() if fold(each) == fold(name)]
        return f"application={known[0]}" if known else None

    def build(self) -> tf.keras.models.Model:
        known = applications()
        if self.application not in known:
            raise UnknownNameError("application", self.application, known)
        shape = tuple(self.input_shape or (224, 224, 3))
        if shape[-1] != 3:
            raise InvalidValueError(f"{self.application} needs images with three channels.")
        image = tf.keras.Input(shape)
        pixels = tf.keras.layers.Rescaling(
            255 * np.array(IMAGENET_STD), 255 * np.array(IMAGENET_MEAN), name="pixels"
        )(image)
        preprocess = importlib.import_module(known[self.application]).preprocess_input
        if self.weights is not None and names_a_file(self.weights):
            check_keras(expanded(self.weights))  # before Keras opens it
        try:
            network = getattr(tf.keras.applications, self.application)(
                weights=self.weights,
                input_tensor=preprocess(pixels),
                classes=self.num_classes,
                classifier_activation=self.classifier_activation,
            )
        except Exception as error:  # Keras raises a plain Exception if a download fails
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise WeightsError(
                f"The weights '{self.weights}' of the teacher {self.application} cannot be loaded: "
                f"{reason}."
            ) from error
        return tf.keras.Model(image, network.output, name=self.application.lower())
