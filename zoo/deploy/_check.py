"""Check an export by comparing it with Keras on random inputs.

Binary networks amplify rounding: if the sign of an activation near zero flips, everything after it
differs. So if the outputs differ, we compare each layer separately, with Keras's inputs; then
nothing is amplified.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.deploy.walk import Call, calls
from zoo.errors import DeployError

if TYPE_CHECKING:
    import tensorflow as tf

ROUNDING, TURNED_SIGNS = 1e-3, 1.0  # relative L2 differences that rounding or signs can cause
SEED = 0

Arrays = list[np.ndarray]


def random_inputs(model: tf.keras.Model, count: int = 1) -> Arrays:
    """Return `count` random images for each input: normal, or integers for integer inputs."""
    draws = np.random.default_rng(SEED)
    images = []
    for image in model.inputs:
        shape, dtype = (count, *image.shape[1:]), image.dtype.as_numpy_dtype
        whole = np.issubdtype(dtype, np.integer)
        values = draws.integers(0, 100, shape) if whole else draws.normal(size=shape)
        images.append(values.astype(dtype))
    return images


def check_export(
    model: tf.keras.Model,
    images: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
    alone: Callable[[Call, Arrays], Sequence[np.ndarray]],
    binary: bool,
) -> float:
    """Compare an export's outputs with Keras's; return the largest relative L2 difference.

    Args:
        images: the model's inputs, in Keras's order.
        found: the export's outputs for them, in the order of the model's outputs.
        alone: computes the export's outputs of one layer from the inputs of its call.
        binary: whether the model computes signs, which may flip.

    Raises:
        DeployError: the outputs differ; the message names the layer if one layer differs.
    """
    import tensorflow as tf

    with tf.device("/CPU:0"):
        expected = tf.nest.flatten(model(list(images), training=False))
    difference = max(map(difference_of, found, expected))
    if difference <= ROUNDING:
        return difference
    for call, inputs, outputs in _steps(model, images):
        own = max(map(difference_of, alone(call, inputs), outputs))
        if own > ROUNDING:
            raise DeployError(
                f"The layer '{call.layer.name}' ({type(call.layer).__name__}) would be exported "
                f"wrongly: on random inputs it differs from Keras by {own:.2g} (relative L2)."
            )
    if not binary or difference > TURNED_SIGNS:
        raise DeployError(
            f"The exported model would differ from Keras by {difference:.2g} (relative L2 on "
            "random inputs), although each layer alone agrees. Please report it."
        )
    return difference


def difference_of(found: Any, expected: Any) -> float:
    """Return the relative L2 difference; infinity if shapes or non-finite positions differ."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    finite = np.isfinite(expected)
    if found.shape != expected.shape or not np.array_equal(np.isfinite(found), finite):
        return float("inf")
    error = float(np.linalg.norm(found[finite] - expected[finite]))
    return error / max(float(np.linalg.norm(expected[finite])), 1e-30)


def _steps(model: tf.keras.Model, images: Sequence[np.ndarray]) -> Any:
    """Yield each call of a layer with its inputs and outputs in Keras."""
    values = dict(zip((id(image) for image in model.inputs), images, strict=True))
    for call in calls(model):
        if call.inputs:
            inputs = [values[key] for key in call.inputs]
            outputs = [np.asarray(each) for each in call.compute(inputs)]
            values.update(zip(call.outputs, outputs, strict=True))
            yield call, inputs, outputs
