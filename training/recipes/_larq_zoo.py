"""larq-zoo's networks as components that our recipes train.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import functools
import sys
from typing import Any, ClassVar, Optional, Tuple

import tensorflow as tf

from zoo import catalog
from zoo.adapters.larq_zoo import DimType, ModelFactory
from zoo.adapters.zookeeper import ComponentField, Field, configure, factory
from zoo.adapters.zookeeper_tf import Preprocessing
from zoo.errors import InvalidValueError
from zoo.weights.load import load_weights


class LarqZooFactory(ModelFactory):
    """Add what our recipes need to a larq-zoo factory; put it before that factory in the bases."""

    default_num_classes: ClassVar[int] = 1000
    catalog_name: ClassVar[str]
    theirs: ClassVar[Any]

    preprocessing: Optional[Preprocessing] = ComponentField(allow_missing=True)

    # Activation of the classifier; None gives logits.
    classifier_activation: Optional[str] = Field("softmax")

    # (height, width, channels) of the image.
    @Field
    def input_shape(self) -> Optional[Tuple[DimType, DimType, DimType]]:
        return getattr(getattr(self, "preprocessing", None), "input_shape", None)

    def build(self) -> tf.keras.models.Model:
        # larq-zoo does not name its layers, so Keras numbers them through the whole process. Start
        # the numbers again, so that a run's weights have the same names when it continues.
        tf.keras.backend.reset_uids()
        arguments = {
            name: getattr(self, name)
            for name, field in self.theirs.__component_fields__.items()
            if not isinstance(field, ComponentField)
        }
        weights = arguments.pop("weights")
        network = self.theirs()
        try:
            configure(network, {**arguments, "weights": None})
            model = network.build()
        except (ValueError, TypeError) as error:
            raise InvalidValueError(
                f"{self.catalog_name} cannot be built for images of shape {self.input_shape}: "
                f"{str(error).splitlines()[0].rstrip('.')}."
            ) from error
        if weights is not None:
            load_weights(model, weights, name=self.catalog_name)
        return self._ending(model) if self.include_top else model

    def _ending(self, model: tf.keras.Model) -> tf.keras.Model:
        """Return `model` with `classifier_activation` instead of its final softmax."""
        if self.classifier_activation == "softmax":
            return model
        logits = model.layers[-1].input
        outputs = tf.keras.layers.Activation(
            self.classifier_activation or "linear", dtype="float32", name="predictions"
        )(logits)
        return tf.keras.Model(model.inputs, outputs, name=model.name)


# Models with a factory class of another name.
CLASSES = {"RealToBinaryNet": "RealToBinNetBNNFactory"}


@functools.cache
def _adapted(row: catalog.Row) -> type:
    name = f"{row.model}Factory"
    theirs: Any = getattr(sys.modules[row.function().__module__], CLASSES.get(row.model, name))
    values = {"__doc__": theirs.__doc__, "catalog_name": row.model, "theirs": theirs}
    return factory(type(name, (LarqZooFactory, theirs), {"__module__": __name__, **values}))


def __getattr__(name: str) -> type:
    """Return the factory of a larq-zoo model, such as BinaryAlexNetFactory; made on first use."""
    for row in catalog.rows(origin="larq-zoo"):
        if name == f"{row.model}Factory":
            return _adapted(row)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
