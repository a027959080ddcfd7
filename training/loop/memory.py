"""Memory and disk space: estimated for a stage, and available on the machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import tensorflow as tf

from training.loop.stage import Stage
from training.loop.step import latent_variables
from zoo.errors import InvalidValueError

# Bytes that a step needs on a CPU, per byte kept for the backward pass. Measured as the difference
# between two batch sizes: RealResNet20 1.2, ReActNet20 1.3 (batches of 128 and 256 images of
# 32x32), ReActNetA 1.6 (8 and 16 of 128x128), ReActNet18 1.7 (8 and 16 of 224x224).
STEP_FACTOR = 1.4
PROCESS = 2**30  # bytes of Python, TensorFlow and the compiled step
# The gradient of these layers does not need their inputs; ReLU's needs its output instead.
WITHOUT_INPUTS = {
    "Activation",
    "Add",
    "AveragePooling2D",
    "Concatenate",
    "Flatten",
    "GlobalAveragePooling2D",
    "InputLayer",
    "LearnableShift",
    "ReLU",
    "Reshape",
    "SubsamplePad",
    "ZeroPadding2D",
}
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Memory:
    """Memory and disk space that one stage needs, in bytes.

    Attributes:
        weights: bytes of weights, gradients and optimizer.
        outputs: bytes of the outputs of all layers for one image.
        kept: bytes that are kept for the backward pass of one image.
        images: number of images that are computed at once.
        parts: number of parts into which a batch is divided.
        disk: bytes of checkpoints and results.
    """

    weights: int
    outputs: int
    kept: int
    images: int
    parts: int
    disk: int

    @classmethod
    def of(
        cls, model: tf.keras.Model, stage: Stage, teachers: Sequence[tf.keras.Model] = ()
    ) -> Memory:
        """Estimate for a stage that trains `model` on images of a fixed size."""
        trained = sum(math.prod(v.shape) for v in latent_variables(list(stage.trains(model))))
        slots = 2 if "Adam" in type(stage.optimizer(1.0)).__name__ else 1
        average = model.count_params() if stage.ema else 0
        state = 4 * (model.count_params() + slots * trained + average)
        return cls(
            weights=state + 4 * trained + 4 * sum(each.count_params() for each in teachers),
            outputs=_bytes(model, _outputs),
            kept=_bytes(model, _kept) + _signs(model),
            images=stage.batch_size // stage.accumulate,
            parts=stage.accumulate,
            disk=3 * state + 4 * 4 * model.count_params(),
        )

    def step(self, replicas: int = 1) -> int:
        """Return the memory of a step and its process if `replicas` share a batch."""
        return PROCESS + self.weights + round(STEP_FACTOR * self.kept * self.images / replicas)

    def fitting(self, room: int, replicas: int = 1) -> int:
        """Return the largest batch size, a power of 2, that fits in `room` bytes; 0 if none."""
        left = (room - PROCESS - self.weights) * replicas
        most = int(left / (STEP_FACTOR * self.kept)) * self.parts
        return 2 ** (most.bit_length() - 1) if most > 0 else 0


def _bytes(model: tf.keras.Model, of: Callable[[Any, Any], list[Any]]) -> int:
    """Return the bytes, for one image, of all tensors that `of(layer, node)` returns."""
    tensors = {
        id(each): each
        for layer in model.layers
        for node in layer.inbound_nodes
        for each in of(layer, node)
    }
    return sum(map(_size, tensors.values()))


def _size(tensor: Any) -> int:
    return 4 * math.prod(tensor.shape[1:])


def _outputs(layer: tf.keras.layers.Layer, node: Any) -> list[Any]:
    return tf.nest.flatten(node.outputs)


def _kept(layer: tf.keras.layers.Layer, node: Any) -> list[Any]:
    kind = type(layer).__name__
    if kind == "ReLU":
        return tf.nest.flatten(node.outputs)
    return [] if kind in WITHOUT_INPUTS else tf.nest.flatten(node.input_tensors)


def _signs(model: tf.keras.Model) -> int:
    """Return the bytes of the signs of layers' inputs; the inputs are kept beside them."""
    return sum(
        _size(each)
        for layer in model.layers
        if getattr(layer, "input_quantizer", None) is not None
        for node in layer.inbound_nodes
        for each in tf.nest.flatten(node.input_tensors)
    )


def machine_memory() -> tuple[int, int]:
    """Return the total and free bytes of memory of this machine or this process's container."""
    found = psutil.virtual_memory()
    total = found.total
    for path in LIMITS:
        try:
            total = min(total, int(Path(path).read_text()))
        except (OSError, ValueError):  # no container, or "max"
            continue
    return total, min(found.available, total)


def check_memory(stages: Sequence[Memory], replicas: int = 1) -> list[str]:
    """Compare the memory that the largest stage needs with the machine's.

    With a GPU nothing is checked: TensorFlow allocates its memory during training.

    Returns:
        A sentence if the memory that is free now is not enough; else nothing.

    Raises:
        InvalidValueError: the machine has less.
    """
    if not stages or tf.config.list_physical_devices("GPU"):
        return []
    largest = max(stages, key=lambda each: each.step(replicas))
    needed, (total, available) = largest.step(replicas), machine_memory()
    if needed <= available:
        return []
    says = (
        f"Training on batches of {largest.images * largest.parts} images takes about {_gib(needed)}"
    )
    if needed <= total:
        way = _way_out(largest, available, replicas)
        return [f"{says} of memory, and {_gib(available)} of {_gib(total)} are free: {way}."]
    way = _way_out(largest, total * 3 // 4, replicas)
    raise InvalidValueError(f"{says} of memory, and this machine has {_gib(total)}: {way}.")


def _way_out(memory: Memory, room: int, replicas: int) -> str:
    batch = memory.images * memory.parts
    size = min(memory.fitting(room, replicas), batch)
    if size < 1:
        return "give smaller images (preprocessing.input_shape) or a smaller network"
    parts = next((n for n in range(1, batch + 1) if batch % n == 0 and batch // n <= size), batch)
    parted = f", or accumulate={parts * memory.parts} for the same batch" if parts > 1 else ""
    return f"batch_size={size} fits{parted}"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
