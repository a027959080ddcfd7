"""Check the names in a saved model: only layers that compute, nothing that runs code of the file.

Keras builds a network from JSON that names classes and functions by module, and imports every
module that it names. So we look up each name in `names` before Keras reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.errors import FileError, printable
from zoo.untrusted.names import (
    ACTIVATIONS,
    FUNCTIONS,
    KERAS,
    LARQ,
    MODULES,
    OPERATIONS,
    REFUSED,
    ZOO,
)
from zoo.untrusted.opening import MOST_TEXT, require_memory, unsafe

MOST_OBJECTS = 200_000  # dictionaries in one architecture
MOST_DEPTH = 200
SLACK = 2**16  # numbers that layers may hold in addition to the saved ones, such as seeds
OPTIMIZER = 4  # a model and its optimizer may have this many times the saved numbers

# Values that are not classes: Keras converts them to tuples, shapes and arrays.
VALUES = frozenset(("__tuple__", "__ellipsis__", "TensorShape"))
ARRAYS = frozenset(("__numpy__", "__tensor__"))
NUMBER = re.compile(r"bool|b?float\d+|u?int\d+")


def read_architecture(text: str | bytes, path: Path) -> dict[str, Any]:
    """Parse the JSON of an architecture. Raises FileError if it is too large or not JSON."""
    if len(text) > MOST_TEXT:
        raise unsafe(path, f"its architecture has {len(text):,} bytes")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"The architecture in '{_name(path)}' is damaged.") from error
    if not isinstance(found, dict):
        raise FileError(f"The architecture in '{_name(path)}' is damaged.")
    return found


def check_architecture(found: Any, path: Path, trusted: Collection[str] = ()) -> None:
    """Look up every class and function that an architecture names.

    Args:
        found: JSON values.
        path: the file, for the message.
        trusted: further names that the caller allows (`custom_objects`).

    Raises:
        FileError: a name is in no list, or the architecture is far too large.
    """
    count = 0
    waiting = [(found, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MOST_DEPTH:
            raise unsafe(path, "its architecture is nested too deeply")
        if isinstance(value, dict):
            count += 1
            if count > MOST_OBJECTS:
                raise unsafe(path, f"its architecture has more than {MOST_OBJECTS:,} parts")
            if "class_name" in value or "registered_name" in value:
                _check_object(value, path, trusted)
            _check_activations(value, path, trusted)
        if isinstance(value, (dict, list)):
            inner = value.values() if isinstance(value, dict) else value
            waiting.extend((each, depth + 1) for each in inner)


def _check_object(value: dict[str, Any], path: Path, trusted: Collection[str]) -> None:
    name, module = value.get("class_name"), value.get("module")
    registered = value.get("registered_name")
    for each in (name, module or "", registered or ""):
        if not isinstance(each, str):
            raise FileError(f"The architecture in '{_name(path)}' is damaged.")
    if name in trusted or (registered and registered in trusted):
        return
    if name == "function":
        names = [value.get("config")]
        if registered not in (None, "", "function"):  # set for registered functions
            names.append(registered)
        if not all(isinstance(each, str) and each in {*FUNCTIONS, *trusted} for each in names):
            raise _refused(path, f"{module or '?'}.{value.get('config')}")
        if module is not None and module != "builtins" and not MODULES.fullmatch(module):
            raise _refused(path, f"{module}.{value.get('config')}")
        return
    if name in VALUES and module is None:
        return
    if name in ARRAYS and module is None:
        config = value.get("config")
        dtype = config.get("dtype") if isinstance(config, dict) else None
        if not isinstance(dtype, str) or not NUMBER.fullmatch(dtype):
            raise unsafe(path, "its architecture holds an array without numbers")
        return
    # In HDF5 the name of a registered class is "zoo>BatchNorm".
    bare = str(name).rpartition(">")[2]
    if bare not in KERAS | LARQ | ZOO | REFUSED and isinstance(value.get("config"), dict):
        raise _unknown(path, bare)
    if bare not in KERAS | LARQ | ZOO or (module and not MODULES.fullmatch(module)):
        raise _refused(path, f"{module}.{name}" if module else str(name))
    if registered and registered.rpartition(">")[2] != bare:
        raise _refused(path, registered)
    if bare in ("TFOpLambda", "SlicingOpLambda"):
        config = value.get("config")
        function = config.get("function") if isinstance(config, dict) else None
        if not isinstance(function, str) or not OPERATIONS.fullmatch(function):
            raise _refused(path, f"tf.{function}")


def _check_activations(value: dict[str, Any], path: Path, trusted: Collection[str]) -> None:
    """Check activations in HDF5: Keras finds them by a bare word, and not only in one list."""
    for key in ("activation", "recurrent_activation"):
        word = value.get(key)
        if isinstance(word, str) and word not in {*FUNCTIONS, *ACTIVATIONS, *LARQ, *trusted}:
            raise _refused(path, word)


def _unknown(path: Path, name: str) -> FileError:
    shown = printable(name, 60)
    return FileError(
        f"'{_name(path)}' names the class {shown}, which does not belong to Keras, larq or this "
        f"zoo: if it is yours, zoo.load_model(path, custom_objects={{'{shown}': {shown}}}) loads "
        "the file."
    )


def _refused(path: Path, name: str) -> FileError:
    return unsafe(
        path,
        f"it contains {printable(name)}, which can run code from the file; if you trust its "
        "author, zoo.load_model(path, safe_mode=False) loads it",
    )


def _name(path: Path) -> str:
    return printable(str(path))


@contextmanager
def variables_within(numbers: int, path: Path) -> Iterator[None]:
    """Limit the variables of a network that is built in the block.

    A short architecture can declare variables that do not fit in any memory.

    Args:
        numbers: number of values in the file.
        path: the file, for the message.

    Raises:
        FileError: the network has more values; raised before memory is allocated for them.
    """
    import tensorflow as tf

    left = [OPTIMIZER * numbers + SLACK]

    def create(next_creator: Any, **arguments: Any) -> Any:
        shape = arguments.get("shape")
        if shape is None:
            shape = getattr(arguments.get("initial_value"), "shape", ())
        count = 1
        for length in tf.TensorShape(shape).as_list():
            count *= length or 0
        left[0] -= count
        if left[0] < 0:
            raise unsafe(path, f"its network has more weights than the {numbers:,} in the file")
        return next_creator(**arguments)

    with tf.variable_creator_scope(create):
        yield


def check_outputs(model: Any, path: Path) -> None:
    """Raise FileError if a layer's output for one image does not fit in half of the memory."""
    for layer in model.layers:
        for shape in _shapes(getattr(layer, "output_shape", None)):
            numbers = 1
            for length in shape[1:]:
                numbers *= length or 1
            require_memory(4 * numbers, path, most_bytes=2**34)


def _shapes(found: Any) -> list[tuple[Any, ...]]:
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, tuple):
        return [found] if all(each is None or isinstance(each, int) for each in found) else []
    return [shape for each in found for shape in _shapes(each)] if isinstance(found, list) else []
