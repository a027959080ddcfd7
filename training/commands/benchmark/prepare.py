"""Write a model as the files that the runtimes read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.errors import DeployError
from zoo.quiet import quiet_errors

# The runtimes that are measured, and their workers.
RUNTIMES = {
    "c": "c",
    "openvino": "openvino",
    "openvino-float": "openvino",
    "openvino-twin": "openvino",
    "lce": "lce",
    "keras": "keras",
}
MEANING = {
    "c": "C source by zoo.deploy.to_c, compiled here, one image after another",
    "openvino": "binary convolutions, by zoo.deploy.to_openvino",
    "openvino-float": "float convolutions, by OpenVINO's own converter",
    "openvino-twin": "float convolutions in the graph of zoo.deploy.to_openvino",
    "lce": "binary convolutions by zoo.deploy.to_lce, one image after another",
    "keras": "the Keras model in a tf.function",
}


def prepare(runtime: str, model: Any, batch: int, folder: Path) -> Path:
    """Write the model for `runtime` into `folder`; return the path that the runtime reads.

    Raises:
        DeployError: the model cannot be converted, or the runtime is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Callable[[Any, int, Path], Path]] = {
        "openvino": _openvino,
        "openvino-float": _openvino_converter,
        "openvino-twin": _openvino_twin,
        "lce": _lce,
        "c": _c,
        "keras": _keras,
    }
    with quiet_errors():
        return writers[runtime](model, batch, folder)


def _openvino(model: Any, batch: int, folder: Path) -> Path:
    from zoo.deploy import save_openvino, to_openvino

    return save_openvino(to_openvino(model, batch), folder)[0]


def _openvino_twin(model: Any, batch: int, folder: Path) -> Path:
    from zoo.deploy import save_openvino, to_openvino

    return save_openvino(to_openvino(model, batch, binary=False), folder)[0]


def _openvino_converter(model: Any, batch: int, folder: Path) -> Path:
    from zoo.deploy import openvino_runtime, save_openvino

    converted = openvino_runtime().convert_model(model, input=[batch, *model.input_shape[1:]])
    return save_openvino(converted, folder)[0]


def _lce(model: Any, batch: int, folder: Path) -> Path:
    from zoo.deploy import to_lce

    path = folder / "model.tflite"
    if not path.exists():
        path.write_bytes(to_lce(model))
    return path


def _c(model: Any, batch: int, folder: Path) -> Path:
    from zoo.deploy import to_c
    from zoo.deploy.c.load import compile_c

    library = folder / "network.so"  # the deployed model and its size
    if not library.exists():
        to_c(model, folder / "c", name="network")
        compile_c(folder / "c", library)
    return library


def _keras(model: Any, batch: int, folder: Path) -> Path:
    path = folder / "model.keras"
    if not path.exists():
        try:
            model.save(path)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise DeployError(f"Keras cannot save {model.name}: {error}.") from error
    return path
