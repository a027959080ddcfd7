"""The network that `lqz evaluate` evaluates, and the data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from training.commands.arguments import PREFIX, parameters, typed_arguments, without_word
from training.commands.evaluate.accuracy import EvaluationSettings, require_fit
from training.commands.network import Found, Network, find, resolve
from training.commands.saved_network import card_beside, read_run, row_of_weights, without_softmax
from training.data import ImageFolder
from training.data.conventions import COMPONENTS
from training.loop.data_record import (
    began_before,
    class_differences,
    differences,
    read_record,
    record_of,
    refuse,
)
from training.loop.progress import say
from training.loop.stage import StageResult
from training.settings.configuration import UnknownKeyError, configure_task, fields, typed
from training.settings.discovery import fold
from training.settings.field_types import to_json
from zoo.errors import WeightsError
from zoo.files import expanded
from zoo.pretrained.records import WeightSet


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with weights.

    Attributes:
        name: the network's name in the catalog, if it has one.
        model: the Keras model, which returns logits.
        weights: the name of the file, or of the set and the file.
        sha256: hash of that file.
        recipe: the configuration that made it, as JSON values.
        record: the registered set of the weights, if there is one.
        directory: the directory of the run that made it, or None.
        stages: the stages of that run.
        same_images: whether the evaluation uses the images that the run was validated on.
    """

    name: str
    model: tf.keras.Model
    weights: str
    sha256: str
    recipe: dict[str, Any]
    record: WeightSet | None = None
    directory: Path | None = None
    stages: tuple[StageResult, ...] = ()
    same_images: bool = True


def load(text: str, conf: Mapping[str, Any]) -> tuple[TrainedNetwork, EvaluationSettings]:
    """Return the network that `text` names and the settings of its evaluation.

    Args:
        text: a model of the catalog, a run's directory, or a file.
        conf: fields of `EvaluationSettings`; for a model of the catalog, and for weights, also
            arguments of its function.

    Raises:
        ZooError: something does not exist or does not fit.
    """
    found = find(text)
    if found.kind in ("catalog", "weights"):
        network, evaluate = _from_catalog(text, found, conf)
    else:
        given = resolve(text, {})
        if given.kind == "run":
            network, evaluate = _from_run(given, conf)
        else:
            model = given.model(logits=True)
            evaluate = configure_task(EvaluationSettings, conf)
            network = _trained(given, model, {"model": model.name})
    require_fit(network.model, evaluate)
    return network, evaluate


def _from_catalog(
    text: str, found: Found, conf: Mapping[str, Any]
) -> tuple[TrainedNetwork, EvaluationSettings]:
    row = found.row
    if row is None:
        assert found.path
        row = row_of_weights(text, found.path)
    conf = {"dataset": COMPONENTS[row.dataset], **conf}
    arguments = parameters(row.model)
    own = {key: value for key, value in conf.items() if key.removeprefix(PREFIX) in arguments}
    settings = {key: value for key, value in conf.items() if key not in own}
    valid = [*arguments, *(info.key for info in fields(EvaluationSettings, settings))]
    for key in conf:
        if key.removeprefix(PREFIX) not in valid:
            raise UnknownKeyError(key, valid)
    options = {key.removeprefix(PREFIX): value for key, value in own.items()}
    if "weights" in options:
        options["weights"] = typed(options, {"weights": str | None})["weights"]
    options = without_word(options)
    if options.get("weights", "") is None:
        raise WeightsError(
            "Random weights have no accuracy; lqz list --weights shows trained weights."
        )
    evaluate = configure_task(EvaluationSettings, settings)
    dataset = evaluate.dataset
    folder = isinstance(dataset, ImageFolder) and "dataset.validation_split" not in conf
    if folder and dataset.is_flat:  # these weights were not trained on any part of the folder
        dataset.take_whole()
    if found.path is None or not ((card := card_beside(found.path)) and card.arguments):
        options.setdefault("input_shape", evaluate.preprocessing.input_shape)
    options = {**options, **typed_arguments(row.model, options)}
    network = resolve(text, options)
    if row.origin == "larq-zoo":
        say("The published figure is from larq-zoo, which crops images differently.")
    recipe = {"model": row.model, **{k: to_json(v) for k, v in network.arguments.items()}}
    # Strict: an evaluation must not use a new classifier.
    model = without_softmax(network.model())
    return _trained(network, model, recipe), evaluate


def _trained(network: Network, model: tf.keras.Model, recipe: dict[str, Any]) -> TrainedNetwork:
    return TrainedNetwork(
        network.name, model, network.weights, network.sha256, recipe, network.record
    )


def _from_run(
    network: Network, conf: Mapping[str, Any]
) -> tuple[TrainedNetwork, EvaluationSettings]:
    assert network.path
    path = network.path
    config, stages = read_run(path)
    # If the command line replaces a component, all settings of that component are replaced.
    replaced = [
        key
        for key in ("dataset", "preprocessing")
        if key in conf and fold(str(conf[key])) != fold(str(config.get(key)))
    ]
    known = set(EvaluationSettings.__component_fields__)  # type: ignore[attr-defined]
    kept = {
        key: value
        for key, value in config.items()
        if key.partition(".")[0] in known and key.partition(".")[0] not in replaced
    }
    evaluate = configure_task(EvaluationSettings, {**kept, **conf})
    if "dataset.data_dir" in conf and "dataset.validation_split" not in conf:
        _take_held_out(evaluate.dataset, kept.get("dataset.data_dir"))
    same_images = _check_data(path, evaluate, any(k.partition(".")[0] == "dataset" for k in conf))
    trained = TrainedNetwork(
        network.name,
        network.model(logits=True),
        network.weights,
        network.sha256,
        config,
        None,
        path,
        tuple(stage for _, stage in stages),
        same_images,
    )
    return trained, evaluate


def _take_held_out(dataset: Any, trained_on: Any) -> None:
    """Evaluate all images of a folder, unless the run was trained on images in it."""
    if isinstance(dataset, ImageFolder):
        known = None if trained_on is None else expanded(str(trained_on)).resolve()
        if dataset.root.resolve() != known:
            dataset.take_whole()


def _check_data(run: Path, evaluate: EvaluationSettings, given: bool) -> bool:
    """Return whether the validation images are the run's; raise RunError for other classes.

    Args:
        given: whether the command line names the data; then the images may differ.
    """
    dataset = evaluate.dataset
    if not given and began_before(run):
        dataset.find_as_before()
    before = read_record(run)
    if before is None:
        return True
    now = record_of(dataset)
    found = differences(before, now, ("validation",))
    unexpected = class_differences(before["classes"], now["classes"]) if given else found
    if unexpected:
        refuse(f"The run in {run}", before, now, unexpected, evaluate.accept_other_data)
    return not found
