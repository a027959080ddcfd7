"""`lqz predict`: the likeliest classes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands import completion
from training.commands.arguments import read_options
from training.commands.network import Network, expanded, find, resolve
from training.terminal import OPEN
from zoo.errors import InvalidValueError, printable

if TYPE_CHECKING:
    import numpy as np

    from zoo.pretrained.records import ImagePreprocessing

TOP = 5
PREPROCESSING = "preprocessing"


@click.command(context_settings=OPEN)
@click.argument("model", shell_complete=completion.models)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
def predict(model: str, images: Sequence[str]) -> None:
    """The five likeliest classes of each IMAGE by MODEL's trained weights.

    MODEL is a name of `lqz list`, a run directory, or a .keras, .h5 or .npz file. Images are JPEG,
    PNG, BMP, GIF, WebP or TIFF files, turned as their EXIF data say.

    Among the images may be key=value: weights=FILE or the name of a set (by default the model's
    own), other arguments of the model, and preprocessing=NAME (imagenet, cifar10) where it is not
    known how a network takes its images.
    """
    settings = [each for each in images if "=" in each and not Path(each).exists()]
    files = [each for each in images if each not in settings]
    if not files:
        raise InvalidValueError("Which image? lqz predict MODEL IMAGE.")
    missing = [each for each in files if not expanded(each).is_file()]
    if missing:
        raise InvalidValueError(f"There is no image file '{printable(missing[0])}'.")
    options = read_options(settings)
    chosen = options.pop(PREPROCESSING, None)
    find(model)
    network = resolve(model, options)
    if network.file is None:
        raise InvalidValueError("Random weights know no classes; lqz list --weights shows others.")
    from zoo.preprocessing import read_image, top_classes

    pixels = [read_image(each) for each in files]
    keras = network.model()
    outputs, channels = keras.output_shape, keras.input_shape[-1]
    if len(outputs) != 2 or len(keras.input_shape) != 4:
        raise InvalidValueError(f"{network.name} is no classifier of images.")
    how = _preprocessing(network, chosen)
    if channels != len(how.mean):
        raise InvalidValueError(
            f"{network.name} takes images of {channels} channels, and its preprocessing "
            f"'{printable(how.name)}' makes {len(how.mean)}."
        )
    names = network.class_names(outputs[-1])
    for file, image in zip(files, pixels, strict=True):
        scores = _probabilities(keras, _input(image, how, keras.input_shape[1:3]))
        (best,) = top_classes(scores, names, TOP)
        click.echo(printable(file, 1000))
        for identifier, name, score in best:
            shown = "" if identifier == name else f"  ({printable(identifier)})"
            click.echo(f"  {100 * score:6.2f} %  {printable(name)}{shown}")


def _preprocessing(network: Network, chosen: Any) -> ImagePreprocessing:
    from zoo.pretrained.records import preprocessing

    if chosen is not None:
        return preprocessing(str(chosen))
    if network.card.preprocessing is None:
        raise InvalidValueError(
            f"How {network.name} takes its images is not known: give preprocessing=imagenet or "
            "preprocessing=cifar10."
        )
    return network.card.preprocessing


def _input(image: np.ndarray, how: ImagePreprocessing, size: tuple[Any, Any]) -> np.ndarray:
    from zoo.preprocessing import preprocess

    height, width = size
    default = (None, how.size)
    own = height in default and width in default
    return preprocess(image, how, None if own else (height, width))[None]


def _probabilities(model: Any, batch: np.ndarray) -> np.ndarray:
    """Outputs that sum to 1: of a network that gives logits, their softmax."""
    import numpy as np
    import tensorflow as tf

    outputs = model(batch, training=False)
    given = np.asarray(outputs)
    if given.min() >= 0 and np.allclose(given.sum(-1), 1, atol=1e-3):
        return given
    return tf.nn.softmax(outputs).numpy()
