"""The network that `lqz evaluate` looks at: from the catalog, a run, or a file."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

import zoo
from training.commands.evaluate.accuracy import EvaluationSettings, require_fit
from training.commands.network import build_model, typed_arguments
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
from training.loop.run_directory import CONFIG, RESULT, read_config
from training.loop.stage import StageResult
from training.settings.configuration import UnknownKeyError, configure_task, fields, typed
from training.settings.discovery import fold
from training.settings.field_types import to_json
from zoo import catalog
from zoo.errors import RunError, WeightsError
from zoo.files import sha256
from zoo.untrusted.opening import read_text
from zoo.weights.load import find_weights, load_weights


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with weights.

    Attributes:
        name: in the catalog where it has one.
        model: gives logits.
        weights: the file's name, or the set's.
        sha256: of that file; of a set without a file, of the values.
        recipe: what made it, as JSON values.
        directory: of the run that made it, else None.
        stages: of that run.
        same_images: whether it is evaluated on the images that the run was validated on.
    """

    name: str
    model: tf.keras.Model
    weights: str
    sha256: str
    recipe: dict[str, Any]
    directory: Path | None = None
    stages: tuple[StageResult, ...] = ()
    same_images: bool = True


# ---- finding the network ----


def load(
    found: catalog.Row | Path, conf: Mapping[str, Any]
) -> tuple[TrainedNetwork, EvaluationSettings]:
    """The network that `found` stands for, and what `conf` says of the rest.

    Args:
        found: a row of the catalog, a run's directory or a .keras file.
        conf: fields of `EvaluationSettings`; for a row of the catalog also its arguments.

    Raises:
        ZooError: something does not exist or does not fit.
    """
    if isinstance(found, catalog.Row):
        network, evaluate = _from_catalog(found, conf)
    elif found.is_dir():
        network, evaluate = _from_run(found, conf)
    elif (found.parent / CONFIG).is_file() and any(found.parent.glob(f"*/{found.stem}.npz")):
        network, evaluate = _from_run(found.parent, conf)  # which saved it at its end
    else:
        model = _loaded(found)
        evaluate = configure_task(EvaluationSettings, conf)
        recipe = {"model": model.name}
        network = TrainedNetwork(_catalog_name(model), model, found.name, sha256(found), recipe)
    require_fit(network.model, evaluate)
    return network, evaluate


def _from_catalog(
    row: catalog.Row, conf: Mapping[str, Any]
) -> tuple[TrainedNetwork, EvaluationSettings]:
    name = row.model
    conf = {"dataset": COMPONENTS[row.dataset], **conf}
    arguments = inspect.signature(row.function()).parameters
    settings = {key: value for key, value in conf.items() if key not in arguments}
    valid = [*arguments, *(info.key for info in fields(EvaluationSettings, settings))]
    for key in conf:
        if key not in valid:
            raise UnknownKeyError(key, valid)
    weights = typed({"weights": conf.get("weights")}, {"weights": str | None})["weights"]
    if weights is None:
        raise WeightsError(
            f"Which weights of {name}? Give weights=FILE (.npz or .h5) or the name of a set "
            "(`lqz list --weights`), or the run directory of `lqz train` in place of the model."
        )
    evaluate = configure_task(EvaluationSettings, settings)
    given = {key: value for key, value in conf.items() if key in arguments and key != "weights"}
    given = typed_arguments(name, given)
    options = {
        "input_shape": evaluate.preprocessing.input_shape,
        "num_classes": len(evaluate.dataset.class_names),
        **given,
    }
    file = find_weights(str(weights), name)
    if row.origin == "larq-zoo":
        say("The published figure is larq-zoo's, whose images are cut in another way than here.")
    model = build_model(name, {**options, "weights": None})
    # Strict: a classifier for other classes is not what an evaluation is for.
    load_weights(
        model, file, name=name, include_top=bool(options.get("include_top", True)),
        num_classes=options["num_classes"],
    )  # fmt: skip
    recipe = {"model": name, **{key: to_json(value) for key, value in options.items()}}
    known = "" if Path(str(weights)).expanduser() == file else f"{weights}: "
    return TrainedNetwork(
        name, _logits(model), f"{known}{file.name}", sha256(file), recipe
    ), evaluate


def _from_run(path: Path, conf: Mapping[str, Any]) -> tuple[TrainedNetwork, EvaluationSettings]:
    config, stages = read_run(path)
    # What the command line replaces, it replaces with all settings of it.
    replaced = [
        key for key in ("dataset", "preprocessing")
        if key in conf and fold(str(conf[key])) != fold(str(config.get(key)))
    ]  # fmt: skip
    known = set(EvaluationSettings.__component_fields__)  # type: ignore[attr-defined]
    kept = {
        key: value for key, value in config.items()
        if key.partition(".")[0] in known and key.partition(".")[0] not in replaced
    }  # fmt: skip
    evaluate = configure_task(EvaluationSettings, {**kept, **conf})
    same_images = _check_data(path, evaluate, any(k.partition(".")[0] == "dataset" for k in conf))
    last, result = stages[-1]
    weights = last / result.weights
    if not weights.is_file() or sha256(weights) != result.sha256:
        raise RunError(
            f"{weights} is missing or not what {RESULT} beside it records: the command that made "
            "this run, given again, trains that stage anew."
        )
    model = _loaded(_saved(path, result))
    load_weights(model, weights, name=model.name, include_top=True, num_classes=0)
    name = _catalog_name(model)
    results = tuple(stage for _, stage in stages)
    network = TrainedNetwork(
        name, model, weights.name, result.sha256, config, path, results, same_images
    )
    return network, evaluate


def _check_data(run: Path, evaluate: EvaluationSettings, given: bool) -> bool:
    """Whether the validation images are the run's; RunError if their classes are others.

    Args:
        given: whether the command line says what to evaluate on: then it may be other images.
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


def read_run(path: Path) -> tuple[dict[str, Any], list[tuple[Path, StageResult]]]:
    """The resolved recipe of a finished run, and its stages in order with their directories.

    Raises:
        RunError: it is no run, or not finished, or damaged.
    """
    try:
        if not (path / CONFIG).exists():
            raise FileNotFoundError
        config = read_config(path)
        found = [p for p in path.glob(f"*/{RESULT}") if p.parent.name.partition("-")[0].isdigit()]
        found.sort(key=lambda p: int(p.parent.name.partition("-")[0]))
        results = [StageResult(**json.loads(read_text(p))) for p in found]
        if any(Path(each.weights).name != each.weights for each in results):
            raise ValueError("the weights of a stage lie outside of it")
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(
            f"{path} is not a run of `lqz train`: it has no {CONFIG}. Give the run's directory; "
            "`lqz evaluate` takes a .keras file or a model of `lqz list`, too."
        ) from None
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(f"The records of the run in {path} are damaged: {reason}.") from error
    if not results or not _saved(path, results[-1]).is_file():
        raise RunError(
            f"The run in {path} is not finished: the command that began it, given again, continues "
            "it."
        )
    return config, list(zip((p.parent for p in found), results, strict=True))


def _saved(run: Path, last: StageResult) -> Path:
    """The model that a run saves at its end."""
    return (run / last.weights).with_suffix(".keras")


def _loaded(path: Path) -> tf.keras.Model:
    if path.suffix != ".keras":
        raise WeightsError(
            f"'{path}' is not a .keras file; weights alone go with a model's name: "
            f"lqz evaluate MODEL weights={path.name}."
        )
    return _logits(zoo.load_model(path, compile=False))


def _logits(model: tf.keras.Model) -> tf.keras.Model:
    """`model` without a softmax at its end: among rounded probabilities there are ties."""
    last = model.layers[-1]
    softmax = tf.keras.activations.softmax
    if isinstance(last, tf.keras.layers.Activation) and last.activation is softmax:
        return tf.keras.Model(model.inputs, last.input, name=model.name)
    return model


def _catalog_name(model: tf.keras.Model) -> str:
    """The catalog's name for a model of ours, which Keras knows in lower case; else its own."""
    names = {row.model.casefold(): row.model for row in catalog.rows(origin="zoo")}
    return names.get(model.name.casefold(), model.name)
