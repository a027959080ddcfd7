"""`lqz predict`: the most likely classes of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands import completion
from training.commands.arguments import read_options
from training.commands.network import find, resolve
from training.terminal import OPEN, load_tensorflow
from zoo.card import NetworkCard
from zoo.errors import InvalidValueError, printable
from zoo.files import expanded

if TYPE_CHECKING:
    import numpy as np

    from zoo.deploy.runners import Runner
    from zoo.pretrained.records import ImagePreprocessing

TOP = 5
PREPROCESSING = "preprocessing"


@dataclass(frozen=True)
class Classifier:
    """The network that classifies the images: a Keras network, or an export."""

    name: str
    card: NetworkCard
    runner: Runner


@click.command(context_settings=OPEN)
@click.argument("model", shell_complete=completion.models)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--trust-program",
    is_flag=True,
    help="Run an export that is a program: C source, or a SavedModel.",
)
def predict(model: str, images: Sequence[str], trust_program: bool) -> None:
    """Print the five most likely classes of each IMAGE.

    MODEL is a name of `lqz list`, a run directory, or a .keras, .h5 or .npz file; or what `lqz
    export` wrote. Images are JPEG, PNG, BMP, GIF, WebP or TIFF files, rotated as their EXIF data
    say.

    You can add key=value: weights=FILE or the name of a set (by default the model's), other
    arguments of the model, and preprocessing=NAME (imagenet, cifar10) if the network
    does not record its preprocessing.
    """
    settings = [each for each in images if "=" in each and not Path(each).exists()]
    files = [each for each in images if each not in settings]
    if not files:
        raise InvalidValueError("Give an image: lqz predict MODEL IMAGE.")
    missing = [each for each in files if not expanded(each).is_file()]
    if missing:
        name = printable(missing[0])
        if expanded(missing[0]).is_dir():
            raise InvalidValueError(
                f"'{name}' is a folder: give image files, such as {name}/*.jpg."
            )
        raise InvalidValueError(f"There is no image file '{name}'.")
    options = read_options(settings)
    chosen = options.pop(PREPROCESSING, None)
    found = find(model, exports=True)
    from zoo.pretrained.records import preprocessing

    if chosen is not None:
        preprocessing(str(chosen))  # raises for a wrong name, before TensorFlow is loaded
    if found.kind == "export":
        assert found.path
        load_tensorflow()
        network = _export(found.path, options, trust_program)
    else:
        network = _of_keras(model, options)
    from zoo.preprocessing import read_image, top_classes

    pixels = [read_image(each) for each in files]
    runner, how = network.runner, _preprocessing(network, chosen)
    channels = runner.input_shape[-1]
    if channels != len(how.mean):
        raise InvalidValueError(
            f"{network.name} takes images of {channels} channels, and its preprocessing "
            f"'{printable(how.name)}' makes {len(how.mean)}."
        )
    names = network.card.class_names(runner.outputs)
    for file, image in zip(files, pixels, strict=True):
        scores = _probabilities(runner, image, how)
        (best,) = top_classes(scores, names, TOP)
        click.echo(printable(file, 1000))
        for identifier, name, score in best:
            shown = "" if identifier == name else f"  ({printable(identifier)})"
            click.echo(f"  {100 * score:6.2f} %  {printable(name)}{shown}")


def _of_keras(model: str, options: Mapping[str, Any]) -> Classifier:
    from zoo.deploy.runners import keras_runner

    network = resolve(model, options)
    if network.file is None:
        raise InvalidValueError(
            "Random weights cannot classify; lqz list --weights shows trained weights."
        )
    keras = network.model()
    if len(keras.output_shape) != 2 or len(keras.input_shape) != 4:
        raise InvalidValueError(f"{network.name} is not an image classifier.")
    return Classifier(network.name, network.card, keras_runner(keras, compiled=False))


def _export(path: Path, options: Mapping[str, Any], trusted: bool) -> Classifier:
    from zoo.deploy.card import kind_of, read_card
    from zoo.deploy.runners import load_export

    if options:
        raise InvalidValueError(f"An export takes no arguments, such as '{next(iter(options))}'.")
    kind = kind_of(path)
    assert kind
    card = read_card(path, kind)
    runner = load_export(path, trusted=trusted)
    if card is not None and not card.sha256:
        raise InvalidValueError(
            f"'{printable(str(path))}' was exported with random weights, which cannot classify."
        )
    return Classifier(printable(path.name), card.card if card else NetworkCard(), runner)


def _preprocessing(network: Classifier, chosen: Any) -> ImagePreprocessing:
    from zoo.pretrained.records import preprocessing

    if chosen is not None:
        return preprocessing(str(chosen))
    if network.card.preprocessing is None:
        raise InvalidValueError(
            f"The preprocessing of {network.name} is not known: give preprocessing=imagenet or "
            "preprocessing=cifar10."
        )
    return network.card.preprocessing


def _probabilities(runner: Runner, image: np.ndarray, how: ImagePreprocessing) -> np.ndarray:
    """Return the network's probabilities for an image; of logits, the softmax."""
    from zoo.deploy.runners import are_probabilities, as_pixels, softmax
    from zoo.preprocessing import preprocess

    height, width = runner.input_shape[:2]
    default = (None, how.size)
    own = height in default and width in default
    batch = preprocess(image, how, None if own else (height, width))[None]
    if runner.pixels:
        batch = as_pixels(batch, how.mean, how.std)
    outputs = runner(batch)
    return outputs if are_probabilities(outputs) else softmax(outputs)
