"""Networks in runs and files, for `training.commands.network`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.commands.arguments import build_model, parameters, typed_arguments
from training.commands.known_network import Network, catalog_row, completed
from training.loop.run_directory import CONFIG, RESULT, read_config
from training.loop.stage import StageResult
from zoo import catalog
from zoo.card import NetworkCard
from zoo.errors import RunError, WeightsError, printable
from zoo.files import sha256
from zoo.saved import card_of_run, is_run, read_card
from zoo.untrusted.opening import read_text

Stages = list[tuple[Path, StageResult]]


def of_run(given: str, run: Path) -> Network:
    """Return the network that a finished run trained. Raise RunError for any other directory."""
    _, stages = read_run(run)
    folder, result = stages[-1]
    weights = folder / result.weights
    if not weights.is_file() or sha256(weights) != result.sha256:
        raise RunError(
            f"{weights} is missing or not what {RESULT} beside it records: run the command that "
            "made this run again to train that stage."
        )
    row = catalog_row(weights.stem)

    def build(logits: bool) -> Any:
        from zoo.weights.files import read_npz
        from zoo.weights.torch_state import load_torch_state

        model = _loaded(_saved(run, result), logits)
        load_torch_state(model, read_npz(weights, model.name))
        return model

    return Network(
        given,
        "run",
        row.model if row else weights.stem,
        run,
        weights,
        weights.name,
        None,
        completed(card_of_run(run), row),
        {},
        build,
    )


def of_model(given: str, path: Path) -> Network:
    """Return the network in a .keras or .h5 file; if a run saved the file, the run's network."""
    if is_run(path.parent) and any(path.parent.glob(f"*/{path.stem}.npz")):
        return of_run(given, path.parent)
    name, row = path.stem, catalog_row(path.stem)
    card = read_card(path)
    found: list[Any] = []

    def build(logits: bool) -> Any:
        if not found:
            found.append(_loaded(path, False))
        return without_softmax(found[0]) if logits else found[0]

    if card is None or row is None:  # the name inside the file tells which network it is
        name = build(False).name
        row = catalog_row(name)
    return Network(
        given,
        "model",
        row.model if row else name,
        path,
        path,
        path.name,
        None,
        completed(card, row),
        {},
        build,
    )


def of_weights(given: str, path: Path, options: Mapping[str, Any]) -> Network:
    """Return the network of an .npz file, from the model's name and the arguments stored in it.

    Raises:
        WeightsError: see `row_of_weights`.
    """
    from zoo.untrusted.architecture import variables_within
    from zoo.weights.files import read_npz
    from zoo.weights.load import classes_of, load_weights

    row, card = row_of_weights(given, path), card_beside(path)
    valid = parameters(row.model)
    known = dict((card and card.arguments) or {})
    known = {key: value for key, value in known.items() if key in valid and key != "weights"}
    if classes := classes_of(path, row.model, "fc"):
        known["num_classes"] = classes
    arguments = {**known, **typed_arguments(row.model, options)}

    def build(logits: bool) -> Any:
        activation = {}
        if logits and "classifier_activation" not in options:
            activation = {"classifier_activation": None}
        # The network must not need more than the file holds.
        numbers = sum(value.size for value in read_npz(path).values())
        asked = bool(card and card.arguments)
        with variables_within(numbers, path) if asked else contextlib.nullcontext():
            model = build_model(row.model, {**arguments, **activation, "weights": None})
        load_weights(model, path, name=row.model)
        return model

    return Network(
        given,
        "weights",
        row.model,
        path,
        path,
        path.name,
        None,
        completed(card, row),
        arguments,
        build,
    )


def row_of_weights(given: str, path: Path) -> catalog.Row:
    """Return the catalog's row of the model that the weights of an .npz file belong to.

    Raises:
        WeightsError: the file does not record a known model, or is not a file of weights.
    """
    from zoo.weights.files import describe_npz

    name, _ = describe_npz(path)
    row = catalog_row(name or "")
    if name is None or row is None:
        whose = (
            f"weights of '{printable(name)}'" if name else "weights and does not record their model"
        )
        raise WeightsError(
            f"'{printable(given)}' holds {whose}: give a model of `lqz list` with "
            f"weights={path.name}."
        )
    return row


def card_beside(weights: Path) -> NetworkCard | None:
    """Return the card in a weights file; if it has none, the card of the run that contains it."""
    if weights.suffix == ".npz":
        from zoo.weights.files import describe_npz

        name, card = describe_npz(weights)
        if card is not None:
            return card
        for run in weights.absolute().parents[:2]:
            if is_run(run):
                card = card_of_run(run)
                config = json.loads(read_text(run / CONFIG))
                trained = str(config.get("model", "")).removesuffix("Factory").casefold()
                own = name is not None and trained == name.casefold()
                return card if own else NetworkCard(card.classes, card.preprocessing, card.dataset)
        return None
    return read_card(weights)


def read_run(path: Path) -> tuple[dict[str, Any], Stages]:
    """Return the resolved recipe of a finished run, and its stages in order with their directories.

    Raises:
        RunError: it is not a run, or not finished, or damaged.
    """
    try:
        if not (path / CONFIG).exists():
            raise FileNotFoundError
        config = read_config(path)
        found = [p for p in path.glob(f"*/{RESULT}") if p.parent.name.partition("-")[0].isdigit()]
        found.sort(key=lambda p: int(p.parent.name.partition("-")[0]))
        results = [StageResult(**json.loads(read_text(p))) for p in found]
        if any(Path(each.weights).name != each.weights for each in results):
            raise ValueError("the weights of a stage are outside it")
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(
            f"{path} is not a run of `lqz train`: it has no {CONFIG}. Give the run's directory, a "
            ".keras or .npz file, or a model of `lqz list`."
        ) from None
    except (AttributeError, ValueError, TypeError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(f"The records of the run in {path} are damaged: {reason}.") from error
    if not results or not _saved(path, results[-1]).is_file():
        raise RunError(
            f"The run in {path} is not finished: run the command that started it again to continue."
        )
    return config, list(zip((p.parent for p in found), results, strict=True))


def _saved(run: Path, last: StageResult) -> Path:
    """Return the path of the model that a run saves at its end."""
    return (run / last.weights).with_suffix(".keras")


def _loaded(path: Path, logits: bool) -> Any:
    import zoo

    model = zoo.load_model(path, compile=False)
    return without_softmax(model) if logits else model


def without_softmax(model: Any) -> Any:
    """Return `model` without a final softmax, because rounded probabilities can be equal."""
    import tensorflow as tf

    last = model.layers[-1]
    softmax = tf.keras.activations.softmax
    if isinstance(last, tf.keras.layers.Activation) and last.activation is softmax:
        return tf.keras.Model(model.inputs, last.input, name=model.name)
    return model
