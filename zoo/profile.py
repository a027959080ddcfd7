"""Operation counts and memory of a model, as `larq.models.summary` prints them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from zoo.errors import InvalidValueError
from zoo.keras2 import require_keras2

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Profile:
    """The cost of a network for one image.

    Attributes:
        binary_macs: multiply-accumulates with two 1-bit operands.
        float_macs: all other multiply-accumulates.
        params: number of weights; batch-norm statistics are not counted twice (larq fuses them).
        memory_bytes: size of the weights; binary weights have 1 bit, all others 32.
    """

    binary_macs: int
    float_macs: int
    params: int
    memory_bytes: int

    @property
    def ops(self) -> float:
        """Return the papers' cost, `binary_macs / 64 + float_macs`."""
        return self.binary_macs / 64 + self.float_macs

    def as_dict(self) -> dict[str, float]:
        """Return the attributes and `ops` by name."""
        return {**asdict(self), "ops": self.ops}

    def __str__(self) -> str:
        binary_share = self.binary_macs / max(1, self.binary_macs + self.float_macs)
        return (
            f"{self.params:,} parameters in {self.memory_bytes / 2**20:.2f} MiB, "
            f"{self.binary_macs:,} binary + {self.float_macs:,} float MACs "
            f"({100 * binary_share:.1f} % binary), {self.ops:,.0f} OPs"
        )


def profile(model: tf.keras.Model) -> Profile:
    """Count operations and memory of a built model for one image.

    A layer or network that is called several times counts its operations each time and its memory
    once.

    Raises:
        InvalidValueError: the model is not built, or its input size is not known.
    """
    require_keras2()
    from zoo.adapters.larq import ModelProfile

    if not model.built or not model.inputs or not hasattr(model, "_nodes_by_depth"):
        raise InvalidValueError(
            "The model is not built: first call it or give its input shape (a subclass of "
            "tf.keras.Model cannot be counted)."
        )
    counts = ModelProfile(model)
    binary, other = _macs(model)
    return Profile(
        binary_macs=binary,
        float_macs=other,
        params=int(counts.weight_count()),
        memory_bytes=-(-int(counts.memory) // 8),
    )


def _macs(model: tf.keras.Model) -> tuple[int, int]:
    """Return binary and other multiply-accumulates of all calls in a model and in inner models."""
    import tensorflow as tf

    from zoo.adapters.larq import LayerProfile, mac_containing_layers

    for image in model.inputs:
        if None in image.shape[1:]:
            raise InvalidValueError(
                f"Operations cannot be counted for the variable input shape {tuple(image.shape)} "
                f"of '{model.name}': build it for one image size."
            )
    binary = other = 0
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            if isinstance(node.layer, tf.keras.Model):
                inner = _macs(node.layer)
                binary, other = binary + inner[0], other + inner[1]
            elif isinstance(node.layer, mac_containing_layers):
                profile = LayerProfile(node.layer)
                pixels = math.prod(node.outputs.shape[1:-1])
                for weight in profile.weight_profiles:
                    if not weight.is_bias():
                        one_bit = max(profile.input_precision or 32, weight.bitwidth) == 1
                        count = weight.count * pixels
                        binary, other = binary + one_bit * count, other + (not one_bit) * count
    return binary, other
