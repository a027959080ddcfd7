"""The accuracy of a network on a data set, for `lqz evaluate`.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from training.data import TFDS, ImageFolder, InputPipeline, RandomResizedCropFlip, reading
from training.data.conventions import (
    DATASETS,
    PHOTOGRAPHS,
    PREPROCESSING,
    SMALL_IMAGES,
    preprocessing_of,
)
from training.loop.accuracy_pass import AccuracyPass
from training.loop.progress import say, stage_bar
from training.settings.configuration import configured_part, resolved
from training.settings.discovery import fold
from zoo.adapters.zookeeper import ComponentField, Field, component
from zoo.adapters.zookeeper_tf import Dataset, Preprocessing
from zoo.errors import DatasetError, InvalidValueError, WeightsError

Pass = Callable[[Any, Callable[[int, float, float], None]], tuple[Any, np.ndarray]]


@component
class EvaluationSettings:
    """Settings of an evaluation."""

    # The valid components of the next two fields: names, and where each is defined.
    components: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "dataset": DATASETS,
        "preprocessing": PREPROCESSING,
    }

    # The data set: FashionMNIST (in the package), Cifar10, ImageNet, ImageFolder or tfds:NAME.
    dataset: Dataset = ComponentField()

    # Decoding, image size and normalisation; by default what the data set's recipes use.
    preprocessing: Preprocessing = ComponentField(RandomResizedCropFlip)

    # Batch size.
    batch_size: int = Field(128)

    # Fraction of images that may be unreadable.
    corrupt_share: float = Field(0.001)

    # Evaluate a run although its data have changed.
    accept_other_data: bool = Field(False)

    @classmethod
    def preset(cls, conf: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings that follow from the data set in `conf`."""
        chosen = fold(str(conf.get("dataset")))
        if chosen == fold(TFDS.__name__):
            known = preprocessing_of(configured_part(cls, "dataset", conf))
            return known if known is not PHOTOGRAPHS else {}
        return next((p for name, p in SMALL_IMAGES.items() if fold(name) == chosen), {})

    @property
    def dataset_name(self) -> str:
        """Return the data set's name; for ImageFolder, with the name of the folder."""
        kind = self.dataset.title
        folder = isinstance(self.dataset, ImageFolder)
        return f"{kind}:{self.dataset.root.resolve().name}" if folder else kind


def require_fit(model: tf.keras.Model, evaluate: EvaluationSettings) -> None:
    """Raise ZooError if the network does not fit these images or this number of classes."""
    takes, given = model.input_shape[1:], tuple(evaluate.preprocessing.input_shape)
    if len(takes) != 3 or any(a not in (None, b) for a, b in zip(takes, given, strict=True)):
        raise InvalidValueError(
            f"{model.name} takes images of {takes}, but preprocessing.input_shape is {given}: set "
            f"preprocessing.input_shape={str(takes).replace(' ', '')}."
        )
    classes = len(evaluate.dataset.class_names)
    if tuple(model.output_shape[1:]) != (classes,):
        raise DatasetError(
            f"{model.name} gives {model.output_shape[1:]} outputs per image, but data set "
            f"{evaluate.dataset_name} has {classes} classes: evaluate on the data set it was "
            "trained on."
        )


@dataclass(frozen=True)
class OnePass:
    """What the progress bar of an evaluation shows: one pass over the images."""

    name: str
    batch_size: int
    epochs: int = 1


def measure(model: tf.keras.Model, evaluate: EvaluationSettings) -> dict[str, Any]:
    """Evaluate all validation images once; return the result of `AccuracyPass.run`.

    Raises:
        ZooError: images do not fit or cannot be read, or the network gives NaN.
    """
    result, _ = one_pass(evaluate, model.name, AccuracyPass(model).run)
    if not np.isfinite(result["loss"]):
        raise WeightsError(f"With these weights {model.name} outputs NaN or infinity.")
    return result


def one_pass(evaluate: EvaluationSettings, title: str, run: Pass) -> tuple[Any, InputPipeline]:
    """Give `run` every validation image once; return its result and the pipeline.

    Args:
        evaluate: the data set and the preprocessing.
        title: the title of the progress bar.
        run: takes the batches and the bar's `update`; returns its result and the positions of the
            images that it saw.

    Raises:
        ZooError: images do not fit or cannot be read.
    """
    dataset = evaluate.dataset
    for remark in dataset.remarks:
        say(remark)
    pipeline = InputPipeline(
        dataset,
        evaluate.preprocessing,
        seed=0,
        cache="none",
        corrupt_share=evaluate.corrupt_share,
        # The pipeline refuses a batch larger than the training set, although it is not used here.
        batch_size=min(evaluate.batch_size, dataset.num_examples(dataset.train_split)),
    )
    once = OnePass(title, pipeline.batch_size)
    with stage_bar(once, pipeline.validation_steps, 0) as bar, reading(dataset):
        result, positions = run(pipeline.validation(), bar.update)
    pipeline.note_validation(positions)
    for name in pipeline.corrupt:
        say(f"Skipped an unreadable image: {name}")
    seen = np.bincount(positions, minlength=pipeline.num_validation)
    assert seen.size == pipeline.num_validation and seen.max() == 1, "an image was evaluated twice"
    assert np.count_nonzero(seen == 0) == len(pipeline.corrupt), "an image was skipped"
    return result, pipeline


def depends_on(evaluate: EvaluationSettings) -> dict[str, Any]:
    """Return data set and preprocessing as JSON values: the result depends on them."""
    own = ("batch_size", "corrupt_share", "accept_other_data")
    return {key: value for key, value in resolved(evaluate).items() if key not in own}
