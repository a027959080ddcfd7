"""Find the network that the user names: in the catalog, a run or a file. All commands use this.

    kind = find(text)                     what the text names, at once, without TensorFlow
    network = resolve(text, options)      weights, classes, preprocessing
    network.model()                       the Keras model

Importing this imports no TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from training.commands.arguments import build_model, check_early, parameters, typed_arguments
from training.commands.known_network import Kind, Network, completed
from training.terminal import load_tensorflow
from zoo import catalog
from zoo.card import card_of_record
from zoo.deploy.card import TITLES, kind_of
from zoo.errors import InvalidValueError, RunError, WeightsError, printable
from zoo.files import expanded
from zoo.pretrained.records import WeightSet, default_record, find_record, imported_record

MODELS = (".keras", ".h5", ".hdf5")  # files of whole networks
NAMEABLE = "a model of `lqz list`, a run directory, or a .keras, .h5 or .npz file"


@dataclass(frozen=True)
class Found:
    """What the user's text names.

    Attributes:
        kind: a model of the catalog, a run, a file of a whole network, or a file of weights;
            "export" for the output of `lqz export`.
        row: the catalog's row, for kind "catalog".
        set_name: the name of its weights, if the text was "MODEL/SET".
        path: the run or the file.
    """

    kind: Kind | Literal["export"]
    row: catalog.Row | None = None
    set_name: str | None = None
    path: Path | None = None


# ---- what is named ----


def find(text: str, *, exports: bool = False) -> Found:
    """Find out what `text` names. Imports no TensorFlow.

    Args:
        text: the user's text.
        exports: whether the command accepts the output of `lqz export`.

    Raises:
        ZooError: `text` names nothing, or something from which no network can be built.
    """
    names = {row.model: row for row in catalog.rows()}
    if text in names:
        return Found("catalog", names[text])
    path = expanded(text)
    if not _exists(path):
        model, slash, set_name = text.rpartition("/")
        if slash and model in names:
            return Found("catalog", names[model], set_name)
        if os.sep in text or path.suffix:
            raise RunError(f"There is no '{printable(text)}': give {NAMEABLE}.")
        return Found("catalog", catalog.row(text))  # raises an error with the most similar name
    if kind := kind_of(path):
        if exports:
            return Found("export", path=path)
        raise InvalidValueError(
            f"'{printable(text)}' is an export for {TITLES[kind]}, which has no Keras layers: give "
            "the run, the file or the model that it was exported from."
        )
    if path.is_dir():
        return Found("run", path=path)
    if path.suffix in MODELS:
        return Found("model", path=path)
    if path.suffix == ".npz":
        return Found("weights", path=path)
    raise InvalidValueError(f"'{printable(text)}' is not a network: give {NAMEABLE}.")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a path, or it contains a NUL
        return False


# ---- what is known of it ----


def resolve(text: str, options: Mapping[str, Any], *, needs_weights: bool = True) -> Network:
    """Return the network that `text` names, with arguments of its function. Loads TensorFlow.

    If `options` has no `weights`, a model of the catalog gets its default set. Only None gives
    random weights.

    Args:
        text: a model of the catalog, "MODEL/SET", a run directory, or a file.
        options: arguments, as `training.commands.arguments.read_options` returns them.
        needs_weights: False if the command's output does not depend on the weights. Then the
            default set is not fetched, and the weights are random unless the user names some.

    Raises:
        ZooError: something does not exist, cannot be read, or does not fit.
    """
    found = find(text)
    if found.row:
        check_early(found.row.model, options)
    load_tensorflow()
    if found.kind == "catalog":
        assert found.row
        if found.set_name is not None:
            if "weights" in options:
                raise InvalidValueError(f"'{text}' already names its weights: remove weights=.")
            options = {"weights": found.set_name, **options}
        return _of_catalog(text, found.row, options, needs_weights)
    if "weights" in options:
        raise InvalidValueError(f"'{printable(text)}' already contains weights: remove weights=.")
    from training.commands import saved_network

    assert found.path
    if found.kind == "weights":
        return saved_network.of_weights(text, found.path, options)
    if options:
        raise InvalidValueError(
            f"A saved network takes no arguments, such as '{next(iter(options))}'."
        )
    if found.kind == "run":
        return saved_network.of_run(text, found.path)
    return saved_network.of_model(text, found.path)


def _of_catalog(
    text: str, row: catalog.Row, options: Mapping[str, Any], needs_weights: bool
) -> Network:
    from training.commands.saved_network import card_beside
    from zoo.pretrained.records import names_a_file
    from zoo.weights.load import classes_of, find_weights

    arguments = typed_arguments(row.model, options)
    default = _default_set(row, needs_weights) if "weights" not in arguments else None
    weights = arguments.pop("weights", default)
    if weights is None:
        return Network(
            text,
            "catalog",
            row.model,
            None,
            None,
            "",
            None,
            completed(None, row),
            arguments,
            lambda logits: _built(row, arguments, None, logits),
        )
    file = find_weights(str(weights), row.model)
    record = card = None
    known = ""
    if names_a_file(weights):
        card = card_beside(file)
        classes = classes_of(file, row.model, "fc") if row.origin == "zoo" else None
    else:
        known = f"{weights}: "
        record = find_record(row.model, str(weights)) or imported_record(row.model, str(weights))
        card, classes = card_of_record(record), record.num_classes
        asked = arguments.get("num_classes", classes)
        if asked != classes and arguments.get("include_top", True):
            raise InvalidValueError(
                f"{row.model}'s weights '{weights}' have {classes} classes, not {asked}: "
                "give weights=FILE, or weights=none for random ones."
            )
    if classes and "num_classes" in parameters(row.model):
        arguments.setdefault("num_classes", classes)
    return Network(
        text,
        "catalog",
        row.model,
        None,
        file,
        f"{known}{file.name}",
        record,
        completed(card, row),
        arguments,
        lambda logits: _built(row, arguments, file, logits),
    )


def _default_set(row: catalog.Row, needed: bool) -> str | None:
    if not needed:
        return None
    record = default_record(row.model)
    if record is None or (record.access == "none published" and not _is_here(record)):
        raise WeightsError(
            f"{row.model} has no trained weights: give weights=FILE, a run directory instead of "
            "the model, or weights=none for random ones."
        )
    return record.name


def _is_here(record: WeightSet) -> bool:
    from zoo.pretrained.find import sources, state_of

    return state_of(record) in ("shipped", "cached") or bool(sources(record))


def _built(row: catalog.Row, arguments: Mapping[str, Any], file: Path | None, logits: bool) -> Any:
    """Build the model and load the weights strictly, so that no classifier stays random."""
    from zoo.weights.load import load_weights

    arguments = dict(arguments)
    if logits and "classifier_activation" in parameters(row.model):
        arguments.setdefault("classifier_activation", None)
    if file is not None and not arguments.get("include_top", True):
        return build_model(row.model, {**arguments, "weights": str(file.absolute())})
    model = build_model(row.model, {**arguments, "weights": None})
    if file is not None:
        load_weights(model, file, name=row.model)
    return model
