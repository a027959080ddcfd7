"""Run exports of `lqz export` in any format, from images to outputs.

    network = load_export("reactnet20.onnx")
    logits = network(images)

C code is compiled and a SavedModel is executed with the user's rights. So both only run if the
caller declares the export trusted. Importing this module imports neither a runtime nor TensorFlow.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.deploy.card import TITLES, Kind, damaged, kind_of, one_line
from zoo.errors import DeployError, InvalidValueError, ZooError, printable
from zoo.extras import require
from zoo.quiet import quiet_errors
from zoo.untrusted.opening import open_regular, read_bytes, unsafe

if TYPE_CHECKING:
    from os import PathLike

PROGRAMS = {"c": "C source, which is compiled and run", "saved_model": "a SavedModel"}


@dataclass(frozen=True)
class Runner:
    """An image classifier: `runner(images)` returns its outputs.

    Attributes:
        title: the runtime's name and version: "OpenVINO 2026.4.1".
        input_shape: shape of one image, (height, width, channels); None for a size that is not
            fixed.
        outputs: number of outputs per image.
        compute: returns outputs (batch, outputs) of images (batch, height, width, channels).
        batch: the batch size of `compute`; None for any.
        pixels: whether it takes uint8 from 0 to 255 and normalises them; else it takes normalised
            float32.
    """

    title: str
    input_shape: tuple[int | None, ...]
    outputs: int
    compute: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    batch: int | None = None
    pixels: bool = False

    @property
    def dtype(self) -> np.dtype:
        """Return the dtype of the images."""
        return np.dtype(np.uint8 if self.pixels else np.float32)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs, float32 (batch, outputs), of any number of images.

        Raises:
            InvalidValueError: the shape or dtype is wrong.
        """
        given = np.asarray(images)
        sizes = (None, *self.input_shape)
        fits = given.ndim == len(sizes) and all(
            want in (None, have) for want, have in zip(sizes, given.shape, strict=True)
        )
        if not fits or given.dtype != self.dtype:
            raise InvalidValueError(
                f"The network takes {self.dtype} images (batch, "
                f"{', '.join(map(str, self.input_shape))}), not {given.dtype} {given.shape}."
            )
        size = self.batch or max(len(given), 1)
        found = [np.empty((0, self.outputs), np.float32)]
        for start in range(0, len(given), size):
            part = given[start : start + size]
            full = part if self.batch is None else np.resize(part, (size, *part.shape[1:]))
            found.append(np.asarray(self.compute(full), np.float32)[: len(part)])
        return np.concatenate(found)


def load_export(
    path: str | PathLike[str], *, threads: int | None = None, trusted: bool = False
) -> Runner:
    """Load an export of any format to run on this machine.

    Args:
        path: a directory of C, a folder of OpenVINO or its .xml, a SavedModel, a .tflite (plain or
            for Larq Compute Engine), or an .onnx file.
        threads: the maximum number of threads; None lets the runtime choose. C uses one.
        trusted: whether C code and SavedModels, which are programs, may run.

    Raises:
        FileError: the export is unsafe, or a program that is not trusted.
        DeployError: the export is incomplete, damaged or not an image classifier, or it needs a
            runtime or a compiler that is not installed.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind is None:
        raise DeployError(f"'{printable(str(path))}' was not written by `lqz export`.")
    if kind in PROGRAMS and not trusted:
        raise unsafe(
            path,
            f"it is {PROGRAMS[kind]}, a program that runs with your rights; if you trust its "
            "author, give --trust-program (trusted=True)",
        )
    load: dict[Kind, Callable[[Path, int | None], Runner]] = {
        "c": _c,
        "openvino": _openvino,
        "saved_model": _saved_model,
        "tflite": _tflite,
        "onnx": _onnx,
    }
    try:
        with quiet_errors():
            runner = load[kind](path, threads)
    except ZooError:
        raise
    except Exception as error:  # errors of runtimes in C++ have many classes
        raise damaged(path, f"{TITLES[kind]} cannot run it: {one_line(error)}") from error
    if len(runner.input_shape) != 3 or runner.outputs < 1:
        raise DeployError(f"'{printable(str(path))}' is not an image classifier.")
    return runner


# ---- one for each runtime ----


def keras_runner(model: Any, *, compiled: bool = True) -> Runner:
    """Return a runner of a Keras model; `compiled` uses a `tf.function`, faster for many images."""
    import tensorflow as tf

    def infer(images: Any) -> Any:
        return model(images, training=False)

    function = tf.function(infer, autograph=False, reduce_retracing=True) if compiled else infer
    shape = tuple(model.output_shape)
    return Runner(
        f"Keras, TensorFlow {tf.__version__}",
        tuple(model.input_shape[1:]),
        _outputs(shape),
        lambda images: np.asarray(function(tf.constant(images))),
    )


def openvino_runner(path: Path, threads: int | None = None, **properties: Any) -> Runner:
    """Return a runner of an OpenVINO .xml; `properties` are further OpenVINO properties."""
    from zoo.deploy.openvino.compiled import compile_openvino, openvino_runtime

    compiled = compile_openvino(path, threads, **properties)
    _require_one(compiled.inputs, compiled.outputs)
    request = compiled.create_infer_request()
    batch, *shape = compiled.inputs[0].shape
    whole = compiled.inputs[0].element_type.to_dtype() == np.uint8
    return Runner(
        f"OpenVINO {openvino_runtime().__version__.partition('-')[0]}",
        tuple(shape),
        _outputs(tuple(compiled.outputs[0].shape)),
        lambda images: request.infer([images], share_inputs=True)[0],
        batch,
        whole,
    )


def lce_runner(content: bytes, threads: int | None = None) -> Runner:
    """Return a runner of a .tflite in Larq Compute Engine's interpreter, one image at a time."""
    require("lce", "This .tflite file")
    from importlib.metadata import version

    from larq_compute_engine.tflite.python.interpreter import Interpreter

    interpreter = Interpreter(content, num_threads=threads or 1)
    _require_one(interpreter.input_shapes, interpreter.output_shapes)
    return Runner(
        f"Larq Compute Engine {version('larq-compute-engine')}",
        tuple(interpreter.input_shapes[0][1:]),
        _outputs(interpreter.output_shapes[0]),
        interpreter.predict,
    )


def _c(path: Path, threads: int | None) -> Runner:
    from zoo.deploy.c.load import find_compiler, load_c

    network = load_c(path)
    outputs = _outputs((None, *network.output_shape))
    title = f"C, {find_compiler()[0]}, {network.instructions}"
    return Runner(title, network.input_shape, outputs, network)


def _openvino(path: Path, threads: int | None) -> Runner:
    require("openvino", "This export")
    graph = path / "model.xml" if path.is_dir() else path
    for file in (graph, graph.with_suffix(".bin")):
        open_regular(file).close()  # OpenVINO would wait for a pipe
    return openvino_runner(graph, threads)


def _tflite(path: Path, threads: int | None) -> Runner:
    from zoo.deploy.lce.flatbuffer import custom_operations

    content = read_bytes(path)
    own = custom_operations(content)
    # TensorFlow's interpreter also runs TensorFlow's operations, which may read and write files.
    if unknown := sorted(name for name in own if not name.startswith("Lce")):
        raise unsafe(path, f"its operation '{printable(unknown[0])}' is not part of TFLite")
    if own:
        return lce_runner(content, threads)
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it recommends a successor
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    _require_one(inputs, outputs)

    def compute(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(inputs[0]["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(outputs[0]["index"])

    batch, *shape = map(int, inputs[0]["shape"])
    return Runner(
        f"TensorFlow Lite {tf.__version__}",
        tuple(shape),
        _outputs(tuple(outputs[0]["shape"])),
        compute,
        batch,
    )


def _onnx(path: Path, threads: int | None) -> Runner:
    from zoo.deploy.onnx.note import check_self_contained

    content = read_bytes(path)
    check_self_contained(content, printable(str(path)))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    _require_one(inputs, outputs)
    batch, *shape = inputs[0].shape
    return Runner(
        f"ONNX Runtime {onnxruntime.__version__}",
        tuple(shape),
        _outputs(tuple(outputs[0].shape)),
        lambda images: session.run(None, {inputs[0].name: images})[0],
        batch if isinstance(batch, int) else None,
    )


def _saved_model(path: Path, threads: int | None) -> Runner:
    import tensorflow as tf

    if not (path / "saved_model.pb").is_file():
        raise damaged(path, "it has no saved_model.pb")
    loaded = tf.saved_model.load(str(path))
    if "serving_default" not in loaded.signatures:
        raise damaged(path, "it has no signature 'serving_default'")
    function = loaded.signatures["serving_default"]
    inputs, outputs = function.structured_input_signature[1], function.structured_outputs
    _require_one(inputs, outputs)
    [(name, image)], [(key, output)] = inputs.items(), outputs.items()

    def compute(images: np.ndarray) -> np.ndarray:
        return function(**{name: tf.constant(images)})[key].numpy()  # type: ignore[no-any-return]

    compute.loaded = loaded  # type: ignore[attr-defined]  # its variables live as long as it
    batch, *shape = image.shape.as_list()
    return Runner(
        f"SavedModel, TensorFlow {tf.__version__}",
        tuple(shape),
        _outputs(tuple(output.shape)),
        compute,
        batch,
    )


def _require_one(inputs: Any, outputs: Any) -> None:
    if len(inputs) != 1 or len(outputs) != 1:
        raise DeployError(
            f"A classifier has one input and one output; this network has {len(inputs)} and "
            f"{len(outputs)}."
        )


def _outputs(shape: Sequence[Any]) -> int:
    """Return the outputs per image, from a shape (batch, ...); 0 if it is not a classifier."""
    return int(shape[1]) if len(shape) == 2 and shape[1] else 0


# ---- inputs and outputs of a network ----


def as_pixels(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Convert normalised images back to bytes, for a network that normalises its input."""
    pixels = (images * np.asarray(std) + np.asarray(mean)) * 255
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def are_probabilities(outputs: np.ndarray) -> bool:
    """Return whether every row has no value below 0 and sums to 1, as after a softmax."""
    return bool(outputs.min(initial=0) >= 0 and np.allclose(outputs.sum(-1), 1, atol=1e-3))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities for logits (batch, classes)."""
    powers = np.exp(np.float64(logits) - np.max(logits, axis=-1, keepdims=True))
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)
