"""The card of a network: the names of its classes, and its preprocessing.

A card comes from a weight set's record, or from a run's data and recipe. Files that a run saves
contain it (`zoo.saved`). Importing this imports no TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.pretrained.records import ImagePreprocessing, WeightSet, class_names, preprocessing

MOST_CLASSES, MOST_LETTERS = 1_000_000, 1000
ATTRIBUTE = "_zoo_card"  # the attribute of a Keras model that holds its card


@dataclass(frozen=True)
class NetworkCard:
    """Class names and preprocessing of a network; unknown values are None.

    Attributes:
        classes: (identifier, name) of each output; the two differ only for ImageNet.
        preprocessing: how an image becomes the network's input.
        dataset: the training data: a data set of the catalog or of `lqz train`.
        arguments: arguments of the model's function without the weights; None if unknown.
    """

    classes: tuple[tuple[str, str], ...] | None = None
    preprocessing: ImagePreprocessing | None = None
    dataset: str | None = None
    arguments: Mapping[str, Any] | None = None

    @property
    def names(self) -> list[str] | None:
        """Return the names of the classes in the order of the outputs."""
        return None if self.classes is None else [name for _, name in self.classes]

    def class_names(self, outputs: int) -> tuple[tuple[str, str], ...]:
        """Return (identifier, name) of each output; numbers if the classes have no names."""
        if self.classes is not None and len(self.classes) == outputs:
            return self.classes
        numbered = [f"class {label}" for label in range(outputs)]
        return tuple(zip(numbered, numbered, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON values."""
        how = self.preprocessing
        return {
            "classes": None if self.classes is None else [each for each, _ in self.classes],
            "dataset": self.dataset,
            "arguments": None if self.arguments is None else dict(self.arguments),
            "preprocessing": how
            and {
                "name": how.name,
                "resize": how.resize,
                "size": how.size,
                "mean": list(how.mean),
                "std": list(how.std),
            },
        }


def card_from_json(found: Any) -> NetworkCard:
    """Return the card that `to_json` wrote; raise ValueError for other values."""
    if not isinstance(found, Mapping):
        raise ValueError("its class names and preprocessing are damaged")
    dataset = found.get("dataset")
    if not (dataset is None or _is_word(dataset)):
        raise ValueError("its data set is not a name")
    return NetworkCard(
        named_classes(found.get("classes")),
        preprocessing_of(found.get("preprocessing")),
        dataset,
        plain_arguments(found.get("arguments")),
    )


def plain_arguments(found: Any) -> dict[str, Any] | None:
    """Read arguments of a model from JSON values: numbers, strings, booleans and short lists.

    Raises:
        ValueError: there is another type of value.
    """
    if found is None:
        return None
    plain = (bool, int, float, str, type(None))
    if not isinstance(found, Mapping) or not all(
        isinstance(value, plain)
        or (
            isinstance(value, list)
            and len(value) < 100
            and all(isinstance(each, plain) for each in value)
        )
        for value in found.values()
    ):
        raise ValueError("the arguments of its model are damaged")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}


def named_classes(found: Any) -> tuple[tuple[str, str], ...] | None:
    """Return class names as (identifier, name); ImageNet's synset numbers get their words as names.

    Raises:
        ValueError: `found` is not a list of names.
    """
    if found is None:
        return None
    if (
        not isinstance(found, Sequence)
        or not found
        or len(found) > MOST_CLASSES
        or not all(_is_word(each) for each in found)
    ):
        raise ValueError("its class names are not a list of names")
    words = dict(class_names("imagenet"))
    names: list[str] = list(found)
    return tuple((name, words.get(name, name)) for name in names)


def preprocessing_of(found: Any) -> ImagePreprocessing | None:
    """Read a preprocessing from JSON values; raise ValueError for other values."""
    if found is None:
        return None
    try:
        name, resize, size = found["name"], found["resize"], found["size"]
        mean, std = (tuple(float(each) for each in found[key]) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("its preprocessing is damaged") from error
    sizes = [size] if resize is None else [size, resize]
    numbers = all(map(math.isfinite, (*mean, *std))) and all(each > 0 for each in std)
    if (
        not _is_word(name)
        or not all(type(each) is int and 0 < each < 2**16 for each in sizes)
        or not numbers
        or len(mean) != len(std)
        or len(mean) not in (1, 3)
    ):
        raise ValueError("its preprocessing is damaged")
    return ImagePreprocessing(name, resize, size, mean, std)


def card_of_record(record: WeightSet) -> NetworkCard:
    """Return the card of a registered set."""
    return NetworkCard(
        class_names(record.classes), preprocessing(record.preprocessing), record.dataset
    )


def card_of(model: Any) -> NetworkCard | None:
    """Return the card attached to a Keras model, or None."""
    return getattr(model, ATTRIBUTE, None)


def attach(model: Any, card: NetworkCard | None) -> Any:
    """Attach a card to a Keras model and return the model."""
    if card is not None:
        setattr(model, ATTRIBUTE, card)
    return model


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MOST_LETTERS
