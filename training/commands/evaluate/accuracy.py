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

    # What the next two can be: the names, and where each is defined.
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
        """The settings that come with the data set that `conf` names."""
        chosen = fold(str(conf.get("dataset")))
        if chosen == fold(TFDS.__name__):
            known = preprocessing_of(configured_part(cls, "dataset", conf))
            return known if known is not PHOTOGRAPHS else {}
        return next((p for name, p in SMALL_IMAGES.items() if fold(name) == chosen), {})

    @property
    def dataset_name(self) -> str:
        """The data set in one word; folders of images go by the folder's name as well."""
        kind = self.dataset.title
        folder = isinstance(self.dataset, ImageFolder)
        return f"{kind}:{self.dataset.root.resolve().name}" if folder else kind


def require_fit(model: tf.keras.Model, evaluate: EvaluationSettings) -> None:
    """Raise ZooError unless the network takes these images and tells these classes apart."""
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
    """What the bar of an evaluation shows: a network that sees every image once."""

    name: str
    batch_size: int
    epochs: int = 1


def measure(model: tf.keras.Model, evaluate: EvaluationSettings) -> dict[str, Any]:
    """One pass over every validation image: what `AccuracyPass.run` gives.

    Raises:
        ZooError: images do not fit or cannot be read, or the network gives NaN.
    """
    result, _ = one_pass(evaluate, model.name, AccuracyPass(model).run)
    if not np.isfinite(result["loss"]):
        raise WeightsError(f"With these weights {model.name} outputs NaN or infinity.")
    return result


def one_pass(evaluate: EvaluationSettings, title: str, run: Pass) -> tuple[Any, InputPipeline]:
    """Let `run` see every validation image once; what it makes of them, and the pipeline.

    Args:
        evaluate: which images, and how they are made.
        title: of the bar.
        run: is given the batches and the bar's `update`, and gives its result and the positions
            that it saw.

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
        # The pipeline refuses batches of more than all training images, which do not matter here.
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
    """Data set and preprocessing as JSON values: what the result depends on."""
    own = ("batch_size", "corrupt_share", "accept_other_data")
    return {key: value for key, value in resolved(evaluate).items() if key not in own}
