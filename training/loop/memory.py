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

# Bytes that a step takes on a CPU for each byte that is kept of its images. Measured as the
# difference of two batch sizes: RealResNet20 1.2, ReActNet20 1.3 (batches of 128 and 256 images of
# 32x32), ReActNetA 1.6 (8 and 16 of 128x128), ReActNet18 1.7 (8 and 16 of 224x224).
STEP_FACTOR = 1.4
PROCESS = 2**30  # bytes of Python, TensorFlow and its compiled step
# Layers whose gradient needs none of their inputs; of ReLU it needs the output.
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
    """What one stage takes, in bytes.

    Attributes:
        weights: weights, gradients and optimizer.
        outputs: the outputs of all layers for one image.
        kept: what the backward pass keeps for one image.
        images: how many there are of it at once.
        parts: into which a batch is divided.
        disk: checkpoints and results.
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
        """Of a stage that trains `model`, on images of a fixed size."""
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
        """Of a step, its process included, where `replicas` share a batch."""
        return PROCESS + self.weights + round(STEP_FACTOR * self.kept * self.images / replicas)

    def fitting(self, room: int, replicas: int = 1) -> int:
        """The largest batch, a power of 2, that takes so many bytes at most; 0 if none does."""
        left = (room - PROCESS - self.weights) * replicas
        most = int(left / (STEP_FACTOR * self.kept)) * self.parts
        return 2 ** (most.bit_length() - 1) if most > 0 else 0


def _bytes(model: tf.keras.Model, of: Callable[[Any, Any], list[Any]]) -> int:
    """Of the tensors, for one image, that `of` gives for the calls of a model's layers."""
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
    """Of the signs that layers make of their inputs, beside which the inputs are kept."""
    return sum(
        _size(each)
        for layer in model.layers
        if getattr(layer, "input_quantizer", None) is not None
        for node in layer.inbound_nodes
        for each in tf.nest.flatten(node.input_tensors)
    )


def machine_memory() -> tuple[int, int]:
    """Bytes of memory that this machine, or this process's container, has, and that are free."""
    found = psutil.virtual_memory()
    total = found.total
    for path in LIMITS:
        try:
            total = min(total, int(Path(path).read_text()))
        except (OSError, ValueError):  # no container, or "max"
            continue
    return total, min(found.available, total)


def check_memory(stages: Sequence[Memory], replicas: int = 1) -> list[str]:
    """Compare what the largest stage takes with what the machine has.

    Nothing is known of the memory of GPUs, which TensorFlow asks for as it goes.

    Returns:
        A sentence where other processes leave less than it takes.

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
