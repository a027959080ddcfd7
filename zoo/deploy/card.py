"""The description stored in an export: its network, weights, classes and preprocessing.

In a folder it is `card.json`, with digests of the other files, which reveal an incomplete folder
or one mixed from two exports. A .tflite or .onnx file contains the description. Importing this
module imports neither a runtime nor TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from zoo.card import NetworkCard, card_from_json
from zoo.errors import DeployError, printable
from zoo.files import sha256, write_json
from zoo.untrusted.opening import read_bytes, read_text

Kind = Literal["c", "openvino", "saved_model", "tflite", "onnx"]
CARD = "card.json"
NOTE = "zoo_card"  # its name inside a file
# Files that identify a folder, even an incomplete one.
FOLDERS: dict[str, Kind] = {
    "model.json": "c",
    "bnn.c": "c",
    "model.xml": "openvino",
    "model.bin": "openvino",
    "saved_model.pb": "saved_model",
}
FILES: dict[str, Kind] = {".tflite": "tflite", ".onnx": "onnx", ".xml": "openvino"}
TITLES: dict[Kind, str] = {
    "c": "C",
    "openvino": "OpenVINO",
    "saved_model": "TensorFlow",
    "tflite": "TFLite",
    "onnx": "ONNX",
}


@dataclass(frozen=True)
class ExportCard:
    """The source of an export; unknown texts are empty.

    Attributes:
        network: the network's name in the catalog if it has one, else its Keras name.
        set_name: the name of the weights, if they are a registered set.
        weights: the name of the weights' file; "" for random weights.
        sha256: sha256 of that file.
        card: class names, preprocessing, data set, and the arguments of the network's function.
    """

    network: str
    set_name: str = ""
    weights: str = ""
    sha256: str = ""
    card: NetworkCard = field(default_factory=NetworkCard)

    def to_json(self) -> dict[str, Any]:
        """Return the card as JSON values."""
        return {
            "network": self.network,
            "set": self.set_name,
            "weights": self.weights,
            "sha256": self.sha256,
            "card": self.card.to_json(),
        }

    def text(self) -> str:
        """Return the card as a line of JSON, to store it inside a file."""
        return json.dumps(self.to_json())


def kind_of(path: Path) -> Kind | None:
    """Return the format of an export, from its name or its files; None if it is not an export."""
    if path.is_dir():
        return next((kind for mark, kind in FOLDERS.items() if (path / mark).is_file()), None)
    return FILES.get(path.suffix)


def write_card(folder: Path, card: ExportCard, run: Iterable[str]) -> None:
    """Write `card.json` into an export; the files `run` must be complete.

    Raises:
        OSError: the file cannot be written.
    """
    digests = {name: sha256(folder / name) for name in run}
    write_json(folder / CARD, {**card.to_json(), "files": digests})


def read_card(path: Path, kind: Kind) -> ExportCard | None:
    """Return the card of an export; None if it has none, like files of other programs.

    Raises:
        FileError: the card cannot be read.
        DeployError: the card is damaged, or a file was changed after the export.
    """
    if kind == "tflite":
        from zoo.deploy.lce.flatbuffer import read_note

        found = read_note(_flatbuffer(path), NOTE)
        return None if found is None else _card(path, found)
    if kind == "onnx":
        return _card_of_onnx(path)
    folder = path if path.is_dir() else path.parent
    if not (folder / CARD).is_file():
        return None
    text = _text(folder / CARD)
    card = _card(path, text)
    digests = json.loads(text).get("files")
    if not isinstance(digests, dict):
        raise damaged(path, "its card lists no files")
    for name, digest in digests.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise damaged(path, "its card lists files outside the export")
        if not (folder / name).is_file():
            raise damaged(path, f"'{printable(name)}' is missing")
        if sha256(folder / name) != digest:
            raise damaged(path, f"'{printable(name)}' was changed after the export")
    return card


def damaged(path: Path, why: str) -> DeployError:
    """Return the error for a damaged export."""
    return DeployError(
        f"'{printable(str(path))}' is not a complete export: {why.rstrip('.')}; export it again."
    )


def one_line(error: BaseException) -> str:
    """Return the message of a runtime's error, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Exception from ")]  # a place in C++
    return printable(lines[0] if lines else type(error).__name__).rstrip(".")


def _card_of_onnx(path: Path) -> ExportCard | None:
    from zoo.deploy.onnx.note import read_note

    content = read_bytes(path)
    try:
        found = read_note(content, NOTE)
    except Exception as error:  # protobuf raises several kinds
        raise damaged(path, one_line(error)) from error
    return None if found is None else _card(path, found)


def _flatbuffer(path: Path) -> bytes:
    from zoo.deploy.lce.flatbuffer import operations

    content = read_bytes(path)
    try:
        operations(content)
    except Exception as error:  # the parser raises many kinds for other bytes
        raise damaged(path, "it is not a TFLite flatbuffer") from error
    return content


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except UnicodeDecodeError as error:
        raise damaged(path, "it is not text") from error


def _card(path: Path, text: str) -> ExportCard:
    try:
        found = json.loads(text)
        network, set_name, weights, digest = (
            found[key] for key in ("network", "set", "weights", "sha256")
        )
        for word in (network, set_name, weights, digest):
            if not isinstance(word, str) or len(word) > 1000:
                raise ValueError("its card is damaged")
        return ExportCard(network, set_name, weights, digest, card_from_json(found["card"]))
    except (KeyError, TypeError, RecursionError) as error:
        raise damaged(path, "its card is damaged") from error
    except ValueError as error:
        why = "its card is damaged" if isinstance(error, json.JSONDecodeError) else str(error)
        raise damaged(path, why) from error
