"""Compile OpenVINO's models for this CPU, and check that binary convolutions use binary kernels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from zoo.deploy.cpu import without_avx2
from zoo.errors import DeployError, DeployWarning
from zoo.extras import module_of

if TYPE_CHECKING:
    from os import PathLike

    import openvino


def openvino_runtime() -> Any:
    """Return the module `openvino`; a DeployError names the extra if it is not installed."""
    return module_of("openvino", "This format")


def compile_openvino(
    model: openvino.Model | str | PathLike[str], threads: int | None = None, **properties: Any
) -> openvino.CompiledModel:
    """Compile for this CPU in float32, and warn if a convolution falls back to a reference kernel.

    OpenVINO's default rounds to bfloat16 on some CPUs, which may flip signs.

    Args:
        model: the result of `to_openvino`, or the path of an `.xml`.
        threads: the maximum number of threads; None lets OpenVINO choose.
        properties: further OpenVINO properties, such as PERFORMANCE_HINT="THROUGHPUT".
    """
    ov = openvino_runtime()
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", **properties}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    compiled = ov.Core().compile_model(model, "CPU", settings)
    check_compiled(compiled)
    return compiled


def check_compiled(compiled: openvino.CompiledModel, *, strict: bool = False) -> int:
    """Search for binary convolutions that do not run in binary kernels.

    Args:
        compiled: a model compiled for the CPU.
        strict: raise an error instead of a warning.

    Returns:
        The number of binary convolutions that run in a binary kernel.

    Warns:
        DeployWarning: a binary convolution runs in a reference kernel, its memory is reordered at
            each inference, or the CPU has no AVX2.

    Raises:
        DeployError: instead of the warning, with `strict`.
    """

    def kind(node: Any) -> str:
        return node.get_rt_info()["layerType"].astype(str)

    def readers(node: Any) -> list[Any]:
        return [each.get_node() for each in node.output(0).get_target_inputs()]

    complaints, good, found = [], 0, 0
    for node in compiled.get_runtime_model().get_ordered_ops():
        if kind(node) != "BinaryConvolution":
            continue
        found += 1
        kernel = node.get_rt_info()["primitiveType"].astype(str)
        name = node.get_friendly_name()
        # Ignore kernels, which are reordered once when compiling, and the model's results, which
        # must be reordered to channels-last.
        beside = [node.input_value(0).get_node()]
        beside += [
            each
            for each in readers(node)
            if {kind(reader) for reader in readers(each)} != {"Output"}
        ]
        if not kernel.startswith("jit"):
            complaints.append(f"'{name}' runs in OpenVINO's kernel '{kernel}', not a binary one")
        elif any(kind(each) == "Reorder" for each in beside):
            complaints.append(f"'{name}' has its memory reordered at each inference")
        else:
            good += 1
    if found and (reason := without_avx2()):
        complaints.append(reason)
    if complaints:
        text = f"{'; '.join(complaints)}."
        if strict:
            raise DeployError(text)
        warnings.warn(text, DeployWarning, stacklevel=2)
    return good
