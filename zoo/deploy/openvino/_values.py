"""Keras tensors during the construction of an OpenVINO graph: sums with pending affine parts.

Batch norms, learned scales and shifts become numbers here. They become nodes only if nothing
absorbs them: a sign absorbs them in its threshold, a real convolution in its kernel, and a sum and
a pooling pass them on. The rest is what the CPU plugin can fuse into a binary convolution: one
scale, one sum, one shift, one PReLU.

Feature maps are channels-first here, as OpenVINO's operations require, for any order in memory.
Per-channel numbers belong to axis 1 of (batch, c, h, w) and of (batch, c).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as ops

Numbers = np.ndarray  # float64, of shape (c,)

# A threshold of 0 moves by this number for "greater or equal". The float next to 0 is denormal, and
# TensorFlow and OpenVINO may treat denormal numbers as 0.
SMALLEST = np.finfo(np.float32).tiny
LARGEST = np.finfo(np.float32).max

# The plugin's binary kernels read whole bytes of channels; with fewer they compute wrong numbers.
BYTE = 8


def constant(values: Any) -> Any:
    return ops.constant(np.ascontiguousarray(values, dtype=np.float32))


def bit_constant(bits: np.ndarray) -> Any:
    """Return a 1-bit constant, packed row-major with the lowest bit first."""
    # The tensor owns its memory: if it shared a NumPy array's memory, it would outlive the array.
    tensor = ov.Tensor(ov.Type.u1, ov.Shape(bits.shape))
    tensor.data.reshape(-1)[:] = np.packbits(bits.reshape(-1), bitorder="little")
    return ops.constant(tensor)


@dataclass(frozen=True)
class Geometry:
    """The geometry of a convolution's kernel, in pixels (vertical, horizontal)."""

    strides: tuple[int, int]
    pads_begin: tuple[int, int]
    pads_end: tuple[int, int]
    dilations: tuple[int, int]
    groups: int = 1
    pad_value: float = 0.0

    @property
    def arguments(self) -> tuple:
        return self.strides, self.pads_begin, self.pads_end, self.dilations


@dataclass(eq=False)
class Convolution:
    """A convolution that becomes a node when its output is first needed.

    Attributes:
        image: its input; for a binary convolution signs, 0 for -1 and 1 for +1.
        kernel: (out, in / groups, h, w); for a binary convolution -1 and +1.
        binary: whether both of its operands have one bit.
        name: the Keras layer's name; if layers were merged, their names joined by "+".
    """

    image: Any
    kernel: np.ndarray
    geometry: Geometry
    binary: bool
    name: str
    nodes: dict[bytes | None, Any] = field(default_factory=dict)

    def output(self, scale: Numbers | None) -> tuple[Any, Numbers | None]:
        """Return the node, and the part of `scale` that is not yet included in it."""
        folded = None if self.binary else scale
        key = None if folded is None else folded.tobytes()
        if key not in self.nodes:
            self.nodes[key] = self._node(folded)
        return self.nodes[key], scale if self.binary else None

    def _node(self, scale: Numbers | None) -> Any:
        kernel, where = self.kernel, self.geometry
        if scale is not None:
            kernel = kernel * scale[:, None, None, None]
        if self.binary:
            bits = bit_constant(kernel > 0)
            node = ops.binary_convolution(
                self.image, bits, *where.arguments, "xnor-popcount", where.pad_value
            )
        elif where.groups == 1:
            node = ops.convolution(self.image, constant(kernel), *where.arguments)
        else:
            kernel = kernel.reshape(where.groups, -1, *kernel.shape[1:])
            node = ops.group_convolution(self.image, constant(kernel), *where.arguments)
        node.set_friendly_name(self.name)
        return node.output(0)

    def can_join(self, other: Convolution) -> bool:
        """Return whether one convolution can compute both."""
        return (
            not self.nodes
            and not other.nodes
            and self.image is other.image
            and self.geometry == other.geometry
            and self.geometry.groups == 1
            and self.binary == other.binary
            and self.kernel.shape[1:] == other.kernel.shape[1:]
        )


@dataclass(frozen=True)
class Term:
    """A node or convolution, times one number per channel."""

    source: Any
    scale: Numbers | None = None


@dataclass(eq=False)
class Value:
    """A Keras tensor: the sum of `terms`, plus one number per channel.

    Attributes:
        terms: the terms of the sum.
        shape: (batch, c, h, w) or (batch, c).
        shift: the added numbers; None for nothing.
    """

    terms: list[Term]
    shape: tuple[int, ...]
    shift: Numbers | None = None
    emitted: Any = None
    _signs: dict[bool, Any] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        return self.shape[1]

    def broadcast(self, numbers: np.ndarray) -> np.ndarray:
        """Return per-channel numbers in a shape that can multiply this value."""
        return numbers.reshape(1, -1, *[1] * (len(self.shape) - 2))

    def one_term(self) -> Term:
        """Return this value as a single term: a sum becomes nodes, its shift stays pending."""
        if len(self.terms) > 1:
            # A convolution comes first: the plugin then adds the other operand to its output.
            first, *others = sorted(self.terms, key=lambda term: isinstance(term.source, ov.Output))
            total = self._scaled(first)
            for term in others:
                total = ops.add(total, self._scaled(term)).output(0)
            self.terms = [Term(total)]
        return self.terms[0]

    def settled(self) -> Any:
        """Return a node for this value without its shift."""
        node = self._scaled(self.one_term())
        self.terms = [Term(node)]
        return node

    def output(self) -> Any:
        """Return a node for this value."""
        if self.emitted is None:
            node = self.settled()
            if self.shift is not None:
                node = ops.add(node, constant(self.broadcast(self.shift))).output(0)
            self.emitted = node
        return self.emitted

    def _scaled(self, term: Term) -> Any:
        node, scale = term.source, term.scale
        if isinstance(node, Convolution):
            node, scale = node.output(scale)
        if scale is None:
            return node
        return ops.multiply(node, constant(self.broadcast(scale))).output(0)

    def affine(self, scale: Numbers | None, shift: Numbers | None) -> Value:
        """Return this value times `scale` plus `shift`; makes no node."""
        if scale is not None and len(self.terms) > 1:
            self.one_term()
        terms = [Term(term.source, times(term.scale, scale)) for term in self.terms]
        return Value(terms, self.shape, plus(times(self.shift, scale, absent=None), shift))

    def signs(self, binary: bool) -> tuple[Any, np.ndarray]:
        """Return the signs of this value as bits, or as -1 and +1, and the inverted channels.

        A batch norm with a negative factor inverts the comparison. The kernel's signs in these
        channels are inverted too, so every product stays the same. Bits are padded with channels of
        -1 to a multiple of `BYTE` channels.
        """
        if binary not in self._signs:
            term = self.one_term()
            if isinstance(term.source, Convolution) and not term.source.binary:
                self.settled()  # other readers then share the node with the folded scale
                term = self.terms[0]
            source = term.source
            if isinstance(source, Convolution):
                source, _ = source.output(None)
            scale = np.ones(self.channels) if term.scale is None else term.scale
            shift = np.zeros(self.channels) if self.shift is None else self.shift
            threshold, falling = thresholds(scale, shift)
            if missing := -self.channels % BYTE if binary else 0:
                source = with_empty_channels(source, len(self.shape), missing)
                threshold = np.pad(threshold, (0, missing), constant_values=LARGEST)
            # Use one constant for both limits: with two, the plugin may fuse the sign into a binary
            # convolution that also adds a shortcut, and then computes wrong numbers. Use a number
            # per channel even if all are equal: with a single number, the sign of an image may be
            # float32 instead of bits, and the binary convolution reads beyond its end.
            limit = constant(self.broadcast(threshold))
            if binary:
                node = ops.fake_quantize(source, limit, limit, constant(0), constant(1), 2)
            else:
                node = ops.select(ops.greater(source, limit), constant(1), constant(-1))
            self._signs[binary] = node.output(0), falling
        return self._signs[binary]


def with_empty_channels(node: Any, rank: int, count: int) -> Any:
    """Return `node` with `count` channels of 0 appended."""
    begin, end = np.zeros((2, rank), np.int64)
    end[1] = count
    sides = ops.constant(begin), ops.constant(end)
    return ops.pad(node, *sides, "constant", ops.constant(np.float32(0))).output(0)


def times(numbers: Any, scale: Any, absent: Any = 1) -> Any:
    """Return the product; None means 1 (or, with absent=None, a None of `numbers` means 0)."""
    if numbers is None:
        return None if absent is None else scale
    return numbers if scale is None else numbers * scale


def plus(left: Any, right: Any) -> Any:
    """Return the sum; None means 0."""
    if left is None or right is None:
        return right if left is None else left
    return left + right


def thresholds(scale: Numbers, shift: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Return t, float32, and falling, so that ((x > t) != falling) is `scale * x + shift >= 0`.

    `FakeQuantize` gives its upper value for x > t, but larq's sign gives +1 for x >= 0. So t is the
    float below the one at which the sign changes. If the scale is 0, t is below or above every x.
    """
    falling = scale < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = np.clip(-shift / scale, -LARGEST, LARGEST)
    nearest = turn.astype(np.float32)
    # The largest float32 below the turn; if falling, t may be the turn, which itself gives +1.
    too_high = np.where(falling, nearest > turn, nearest >= turn)
    t = np.where(too_high, np.nextafter(nearest, -LARGEST), nearest)
    t = np.where(~falling & (np.abs(turn) < SMALLEST), -SMALLEST, t)
    always = np.where(shift >= 0, -LARGEST, LARGEST)
    return np.where(scale == 0, always, t).astype(np.float32), falling
