"""`lqz predict`: the likeliest classes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from training.terminal import OPEN, load_tensorflow
from zoo import catalog
from zoo.errors import InvalidValueError

TOP = 5


@click.command(context_settings=OPEN)
@click.argument("model")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
def predict(model: str, images: Sequence[str]) -> None:
    """The five likeliest classes of each IMAGE by MODEL's trained weights.

    Images are JPEG, PNG, BMP, GIF, WebP or TIFF files, turned as their EXIF data say.

    Among the images may be key=value: weights=FILE or the name of a set (by default the model's
    own), and other arguments of the model.
    """
    from training.settings.configuration import parse_arguments

    settings = [each for each in images if "=" in each and not Path(each).exists()]
    files = [each for each in images if each not in settings]
    if not files:
        raise InvalidValueError("Which image? lqz predict MODEL IMAGE.")
    missing = [each for each in files if not Path(each).expanduser().is_file()]
    if missing:
        raise InvalidValueError(f"There is no image file '{missing[0]}'.")
    options = parse_arguments(settings)
    row = catalog.row(model)
    load_tensorflow()
    from training.commands.network import build_model
    from zoo.preprocessing import preprocess, read_image, top_classes
    from zoo.pretrained.records import class_names, preprocessing
    from zoo.weights.load import find_weights, load_weights

    record = _record(row, options)
    weights = options.pop("weights", record.name)
    if weights is None:
        raise InvalidValueError("Random weights know no classes; lqz list --weights shows others.")
    pixels = [read_image(each) for each in files]
    path = find_weights(str(weights), row.model)
    # A classifier with random weights would answer too: here all must come from the file.
    network = build_model(
        row.model, {"num_classes": record.num_classes, **options, "weights": None}
    )
    classes = network.output_shape[-1]
    load_weights(network, path, name=row.model, include_top=True, num_classes=classes)
    if network.input_shape[-1] != 3:
        raise InvalidValueError("Images are predicted in three colours; this network takes others.")
    names = class_names(record.classes)
    if len(names) != classes or _of_other_data(path, record):
        names = tuple((str(label), f"class {label}") for label in range(classes))
    height, width = network.input_shape[1:3]
    how = preprocessing(record.preprocessing)
    default = (None, how.size)
    size = None if height in default and width in default else (height, width)
    for file, image in zip(files, pixels, strict=True):
        taken = preprocess(image, how, size)
        (best,) = top_classes(network(taken[None], training=False), names, TOP)
        click.echo(file)
        for identifier, name, score in best:
            shown = "" if identifier == name else f"  ({identifier})"
            click.echo(f"  {100 * score:6.2f} %  {name}{shown}")


def _of_other_data(weights: Path, record: Any) -> bool:
    """Whether the run beside whose `config.json` the file lies was on other data: as many classes
    may be others."""
    from training.data.conventions import COMPONENTS
    from training.loop.run_directory import CONFIG, read_json

    config = weights.parent / CONFIG
    if not config.is_file():
        return False
    dataset = read_json(config, "remove it or move the weights elsewhere").get("dataset")
    return dataset != COMPONENTS.get(record.dataset)


def _record(row: catalog.Row, options: dict[str, Any]) -> Any:
    """The record that says how images are cut and what the classes are called.

    Of the set that is asked for; else of the model's default one, which is called as its data set;
    else of another registered set, or as its data set has it.
    """
    from zoo.pretrained.records import default_record, find_record, imported_record

    weights = options.get("weights")
    if weights is not None and (found := find_record(row.model, str(weights))):
        return found
    return default_record(row.model) or imported_record(row.model, row.dataset)
