"""The compiled training step as StableHLO.

TensorFlow lowers the function that `lqz train` runs (layers, gradients, optimizer) to HLO that is
independent of the device. JAX's runtime compiles it for the device that it finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from training.loop.step import TrainStep
from zoo.convolution import bfloat16_convolutions
from zoo.extras import require

# NumPy's names for MLIR's types.
TYPES = {"f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64", "i1": "bool"}


@dataclass(frozen=True)
class LoweredStep:
    """A training step without TensorFlow.

    The step is a function. Its arguments are images float32 [b, h, w, c], labels int32 [b], the
    learning rate float32 [], then one array for each of `inputs`. It returns the float64 sums of
    the batch (loss, correct images, images), then a new value for each of `outputs`.

    Attributes:
        stablehlo: the function, as a portable artifact.
        inputs: names of the variables that it reads: names of a checkpoint, and "fixed/0", ... for
            variables that the step does not change (a teacher, an estimator's sharpness).
        outputs: names of the variables that it changes.
        results: NumPy type and shape of each value that it returns.
        fixed: the variables with the names "fixed/...".
    """

    stablehlo: bytes
    inputs: list[str]
    outputs: list[str]
    results: list[tuple[str, list[int]]]
    fixed: Mapping[str, Any]


def lower(
    step: TrainStep, input_shape: tuple[int, int, int], pixels: tf.DType = tf.float32
) -> LoweredStep:
    """Lower one training step on images of `input_shape` (height, width, channels).

    Args:
        step: the training step of a stage, which has a batch size.
        pixels: dtype of the images; the step normalises tf.uint8 images itself.

    Raises:
        RunError: JAX is not installed.
    """
    require("portable", "Writing a training program")
    from jaxlib import _jax

    def body(images: tf.Tensor, labels: tf.Tensor, learning_rate: tf.Tensor) -> tf.Tensor:
        step.optimizer.learning_rate.assign(learning_rate)
        return step._step({"image": images, "label": labels})

    compiled = tf.function(body, jit_compile=True, autograph=False)
    batch = step.stage.batch_size
    arguments = (
        tf.zeros([batch, *input_shape], pixels),
        tf.zeros([batch], tf.int32),
        tf.constant(0.0),
    )
    with bfloat16_convolutions(step.stage.bfloat16), _without_determinism():
        hlo = compiled.experimental_get_compiler_ir(*arguments)
        captured = compiled.get_concrete_function(*arguments).captured_inputs
        module = hlo(stage="hlo_serialized")
    inputs, fixed = _names(step, captured)
    code, results = _export(module)
    # The first line of the module's text says which output is the new value of which parameter.
    header = _jax.XlaComputation(module).as_hlo_text().partition("\n")[0]
    aliases = {
        int(output) - 1: int(parameter) - len(arguments)
        for output, parameter in re.findall(r"\{(\d+)\}: \((\d+), \{\}", header)
    }
    outputs = [inputs[aliases[i]] for i in range(len(aliases))]
    return LoweredStep(code, inputs, outputs, results, fixed)


@contextmanager
def _without_determinism() -> Iterator[None]:
    """Let TensorFlow lower the gradient of max pooling.

    It refuses this under `enable_op_determinism`, because a GPU may add the gradients of windows
    that overlap in any order. TensorFlow has no public function that takes the setting back.
    """
    from tensorflow.python.util import _pywrap_determinism as determinism

    before = determinism.is_enabled()
    determinism.enable(False)
    try:
        yield
    finally:
        determinism.enable(before)


def _names(step: TrainStep, captured: list[tf.Tensor]) -> tuple[list[str], dict[str, Any]]:
    """Return a name for each captured resource, and the variables that are in no checkpoint."""
    known = {id(variable.handle): name for name, variable in step.variables().items()}
    known[id(step.optimizer.learning_rate.handle)] = "learning_rate"
    fixed: dict[str, Any] = {}
    names = []
    for handle in captured:
        name = known.get(id(handle))
        if name is None:
            name = known[id(handle)] = f"fixed/{len(fixed)}"
            fixed[name] = handle
        names.append(name)
    return names, fixed


def read(handle: tf.Tensor) -> np.ndarray:
    """Return the value of the variable of a captured resource."""
    data = handle._handle_data.shape_and_type[0]
    return tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.as_dtype(data.dtype)).numpy()


def _export(hlo: bytes) -> tuple[bytes, list[tuple[str, list[int]]]]:
    """Convert a serialised HLO module to StableHLO; also return type and shape of each result."""
    from jax.interpreters import mlir
    from jaxlib import _jax
    from jaxlib.mlir import ir

    with mlir.make_ir_context():
        module = ir.Module.parse(_jax.mlir.hlo_to_stablehlo(hlo))
        _remove_mhlo(module, ir)
        [main] = (f for f in module.body.operations if _symbol(f) == "main")
        types = map(ir.RankedTensorType, main.attributes["function_type"].value.results)
        results = [(TYPES[str(each.element_type)], list(each.shape)) for each in types]
        code = _portable(mlir.module_to_bytecode(module))
    return code, results


def _symbol(function: Any) -> str:
    return function.attributes["sym_name"].value


def _remove_mhlo(module: Any, ir: Any) -> None:
    """Remove what StableHLO does not have: copies, and attributes of the module."""
    copies = []

    def collect(operation: Any) -> Any:
        if operation.operation.name == "mhlo.copy":
            copies.append(operation.operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(collect)
    for copy in copies:
        copy.results[0].replace_all_uses_with(copy.operands[0])
        copy.erase()
    for function in module.body.operations:
        for key in [a.name for a in function.attributes if a.name.startswith("mhlo.")]:
            del function.attributes[key]
        if _symbol(function) == "main":  # remove aliases of arguments: JAX plans the memory itself
            for key in ("arg_attrs", "res_attrs"):
                if key in function.attributes:
                    del function.attributes[key]
    for key in [a.name for a in module.operation.attributes if a.name.startswith("mhlo.")]:
        del module.operation.attributes[key]


def _portable(code: bytes) -> bytes:
    """Convert MLIR bytecode to StableHLO's versioned format, which is readable for five years.

    It has the version of a month ago, so that slightly older readers can read it.
    """
    from jaxlib.mlir.dialects import stablehlo

    version = stablehlo.get_version_from_compatibility_requirement(
        stablehlo.StablehloCompatibilityRequirement.WEEK_4
    )
    return stablehlo.serialize_portable_artifact_str(code, version)
