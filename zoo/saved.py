"""Networks on disk: a .keras file with the network's card, and the folder of a finished run.

The card is in `metadata.json` of the .keras file, beside Keras's version. Keras reads such a file
like any other. Importing this imports no TensorFlow.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from zoo.card import (
    NetworkCard,
    attach,
    card_from_json,
    named_classes,
    plain_arguments,
    preprocessing_of,
)
from zoo.errors import FileError, RunError, printable
from zoo.files import write_atomically
from zoo.untrusted.models import METADATA, read_metadata
from zoo.untrusted.opening import read_text

if TYPE_CHECKING:
    import tensorflow as tf

CARD = "zoo"  # the key in metadata.json
CONFIG, DATA = "config.json", "data.json"  # files of a run
MODEL = "model."  # prefix of the settings of a run's network
NO_ARGUMENTS = ("weights", "input_tensor")  # settings that do not affect the architecture


def save_network(model: tf.keras.Model, path: Path, card: NetworkCard | None = None) -> None:
    """Save a model as .keras with its card; the file is written completely or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        model.save(draft)
        write_atomically(path, lambda file: _copy(draft, file, card))


def _copy(source: Path, target: IO[bytes], card: NetworkCard | None) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if member.filename == METADATA and card is not None:
                content = json.dumps({**json.loads(content), CARD: card.to_json()}).encode()
            new.writestr(member, content)


def read_card(path: Path) -> NetworkCard | None:
    """Return the card in a .keras file; None if there is none, as in files of other programs.

    Raises:
        FileError: the file is damaged or unsafe.
    """
    if path.suffix != ".keras":
        return None
    found = read_metadata(path).get(CARD)
    try:
        return None if found is None else card_from_json(found)
    except ValueError as error:
        raise FileError(f"'{printable(str(path))}' is damaged: {error}.") from error


def load(path: Path, safe_mode: bool, arguments: dict[str, Any]) -> tf.keras.Model:
    """Load the model of a file or a finished run, with its card.

    Raises:
        ZooError: in safe mode, the file is unsafe or cannot be read.
    """
    run = path.parent
    if is_run(path):
        run, path = path, network_of(path)
    if safe_mode:
        from zoo.untrusted.models import load_keras_model

        model = load_keras_model(path, **arguments)
    else:
        import tensorflow as tf

        model = tf.keras.models.load_model(path, safe_mode=False, **arguments)
    if path.is_dir() or not safe_mode:  # the format is unknown
        return model
    card = read_card(path)
    # Files of older runs have no card, but the run's records contain the same facts.
    return attach(model, card_of_run(run) if card is None and is_run(run) else card)


def is_run(path: Path) -> bool:
    """Return whether a folder is the directory of a run."""
    return path.is_dir() and (path / CONFIG).is_file()


def network_of(run: Path) -> Path:
    """Return the .keras file that a run saved at its end.

    Raises:
        RunError: the run is not finished.
    """
    found = sorted(run.glob("*.keras"))
    if len(found) > 1:
        names = ", ".join(printable(path.name) for path in found)
        raise RunError(f"{run} holds several networks: give one of {names}.")
    if not found:
        raise RunError(
            f"The run in {run} is not finished: run the command that started it again to continue."
        )
    return found[0]


def card_of_run(run: Path) -> NetworkCard:
    """Return the card from a run's records; records of older runs contain less.

    Raises:
        FileError: the records are damaged.
    """
    config = _json(run / CONFIG)
    data = _json(run / DATA) if (run / DATA).exists() else {}
    dataset = config.get("dataset")
    try:
        how = None
        if "preprocessing.mean" in config and "preprocessing.input_shape" in config:
            how = preprocessing_of(
                {
                    "name": config.get("preprocessing"),
                    "resize": config.get("preprocessing.resize"),
                    "size": min(config["preprocessing.input_shape"][:2]),
                    "mean": config["preprocessing.mean"],
                    "std": config.get("preprocessing.std"),
                }
            )
        known = dataset if isinstance(dataset, str) and dataset else None
        given = {
            key.removeprefix(MODEL): value
            for key, value in config.items()
            if key.startswith(MODEL) and key.removeprefix(MODEL) not in NO_ARGUMENTS
        }
        arguments = plain_arguments(given) if given else None
        return NetworkCard(named_classes(data.get("classes")), how, known, arguments)
    except (TypeError, ValueError) as error:
        raise FileError(f"The records of the run in {run} are damaged: {error}.") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FileError(f"{printable(str(path))} is damaged.")
    return found
