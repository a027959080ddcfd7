"""Fine-tuning on a folder of the user's images. This recipe is ours; it follows no paper.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import io
import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from training.data import ImageFolder, RandomResizedCropFlip
from training.data.encoded import without_autotuning
from training.loop.check_plan import is_at_hand, training_images
from training.loop.plan import Choice
from training.recipes._recipe import Recipe
from training.settings.discovery import fold
from zoo import catalog
from zoo.adapters.zookeeper import ComponentField, Field, task
from zoo.adapters.zookeeper_tf import Dataset
from zoo.errors import DatasetError, ZooError
from zoo.models.reactnet import ReActNet20Factory
from zoo.pretrained.records import default_record, find_record, names_a_file, preprocessing
from zoo.weights.files import describe_npz

LOOKED_AT = 32  # number of images read to find their typical size


@task
class FineTune(Recipe):
    """Fine-tune a trained network on a folder of your own images, in minutes on two cores.

    `lqz train FineTune dataset.data_dir=photos` is enough: it chooses the other settings from the
    number and size of the images and prints them. Accuracy: docs/guides/own_images.md.
    """

    dataset = ComponentField(ImageFolder)
    # Evaluation uses the whole image; its colours do not change.
    preprocessing = ComponentField(
        RandomResizedCropFlip, input_shape=(32, 32, 3), resize=32, lighting=0.0
    )
    model = ComponentField(ReActNet20Factory)
    initialize_from = Field("cifar10")
    epochs = Field(20)
    batch_size = Field(20)
    learning_rate = Field(5e-3)
    schedule = Field("cosine")
    schedule_every = Field("step")
    warmup_epochs = Field(1.0)
    last_stage: ClassVar[str] = "fine-tuning"

    @classmethod
    def derived(cls, dataset: Dataset, conf: Mapping[str, Any]) -> Mapping[str, Choice]:
        """Choose settings from the trained weights and from the number and size of the images."""
        found = _start(conf)
        weights = conf.get("initialize_from", found["initialize_from"].value)
        size = _size(_model(conf), weights)
        # For images of any size. It also replaces PadCropFlip, the default of some data sets.
        found["preprocessing"] = Choice("RandomResizedCropFlip", "crops of the images, resized")
        found["preprocessing.input_shape"] = Choice(
            (size, size, 3), "the size used to train the weights"
        )
        found["preprocessing.resize"] = Choice(size, "evaluation uses the whole shorter side")
        try:
            images = training_images(dataset)
            shorter = (_shorter_side(dataset) if is_at_hand(dataset) else None) or size
        except DatasetError:
            return found  # the run reports errors
        batch = str(conf.get("batch_size", ""))
        chosen = int(batch) if batch.isdecimal() and int(batch) else None
        return found | by_number(images, chosen) | by_size(shorter, size)


def by_number(images: int, batch: int | None = None) -> dict[str, Choice]:
    """Choose batch size, epochs and learning rate for a number of training images.

    A small data set needs more epochs than a large one, but fewer steps. A batch is a tenth of the
    images, within 8 to 64, and divides their number if possible.

    Args:
        images: their number, above 0.
        batch: the batch size, if the user chose it.
    """
    if batch is None:
        about = min(max(images // 10, 8), 64, images)
        near = range(math.ceil(0.75 * about), min(about * 5 // 4, images) + 1)
        batch = min(near, key=lambda each: (images % each, abs(each - about)))
    steps, rest = divmod(images, batch)
    epochs = min(max(round(20 * math.sqrt(200 / images)), 5), 60)
    rate = float(f"{5e-3 * math.sqrt(batch / 20):.2g}")
    left = (
        f", {rest} images left out, different ones each time" if rest else ", which use every image"
    )
    return {
        "batch_size": Choice(batch, f"{steps:,} steps an epoch{left}"),
        "epochs": Choice(epochs, f"{epochs * steps * batch:,} images in total"),
        "learning_rate": Choice(rate, f"for batches of {batch}"),
    }


def by_size(shorter: int, size: int) -> dict[str, Choice]:
    """Choose the smallest crop, as a fraction of an image's area.

    The smallest crop has about as many pixels as the network's images; the fraction stays within
    0.35 to 0.8.

    Args:
        shorter: typical shorter side of the images, in pixels.
        size: height and width of the network's images.
    """
    low = round(min(max((size / shorter) ** 2, 0.35), 0.8), 2)
    why = f"crops of images whose shorter side has {shorter} pixels"
    return {"preprocessing.scale": Choice((low, 1.0), why)}


def _model(conf: Mapping[str, Any]) -> str:
    """Return the catalog's name of the network in `conf`."""
    chosen = conf.get("model", ReActNet20Factory)
    name = chosen if isinstance(chosen, str) else getattr(chosen, "__name__", type(chosen).__name__)
    names = {fold(row.model): row.model for row in catalog.rows()}
    return names.get(fold(name.removesuffix("Factory")), name)


def _start(conf: Mapping[str, Any]) -> dict[str, Choice]:
    """Choose the trained weights to start from: the default set of the network in `conf`."""
    try:
        record = default_record(_model(conf))
    except ZooError:  # no such model: a later check raises this error
        record = None
    name = record.name if record else None
    why = f"the trained set of {_model(conf)}" if name else f"{_model(conf)} has no trained set"
    return {"initialize_from": Choice(name, why)}


def _size(model: str, weights: Any) -> int:
    """Return the height and width of the images that the weights were trained on."""
    if weights is not None and names_a_file(weights):
        try:
            _, card = describe_npz(weights)
        except (ZooError, OSError, ValueError):  # another format, or no file: a later check raises
            card = None
        if card and card.preprocessing:
            return card.preprocessing.size
    record = find_record(model, str(weights))
    row = next((row for row in catalog.rows() if row.model == model), None)
    return preprocessing(record.preprocessing if record else row.dataset if row else "cifar10").size


def _shorter_side(dataset: Any) -> int | None:
    """Return the median shorter side of some training images; None if no image can be read."""
    from PIL import Image

    found = []
    stream = dataset.stream(dataset.train_split, seed=0, buffer=LOOKED_AT).take(LOOKED_AT)
    for example in without_autotuning(stream).as_numpy_iterator():
        try:
            with warnings.catch_warnings(), Image.open(io.BytesIO(example["image"])) as image:
                found.append(min(image.size))
        except Exception:  # Pillow raises many classes for a damaged file; the run reports it
            continue
    return int(np.median(found)) if found else None
