"""The graph between a Keras model and C: feature maps and a few kinds of nodes.

Everything is channels-last and for one image; a vector is a map of one pixel.
`zoo.deploy.c.layers` makes the graph, `zoo.deploy.c.schedule` joins its nodes into the loops that
the C code runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

Shape = tuple[int, int, int]  # height, width, channels
LANES = 16  # channels that the kernels compute together
SMALLEST = float(np.finfo(np.float32).tiny)
LARGEST = float(np.finfo(np.float32).max)


def filled(channels: int) -> int:
    """Return the channels of a map in memory, rounded up to whole vectors."""
    return -(-channels // LANES) * LANES


@dataclass(eq=False)
class Value:
    """A feature map of float32."""

    shape: Shape
    maker: Node | None = None

    @property
    def channels(self) -> int:
        return self.shape[2]

    @property
    def pixels(self) -> int:
        return self.shape[0] * self.shape[1]


class Kind(Enum):
    """The operation of a `Window`; the names are those in bnn.h."""

    BINARY = "BNN_BINARY"
    REAL = "BNN_REAL"
    DEPTHWISE = "BNN_DEPTHWISE"
    MAXIMUM = "BNN_MAXIMUM"
    MEAN = "BNN_MEAN"
    LOAD = "BNN_LOAD"


@dataclass(frozen=True)
class Geometry:
    """The geometry of a kernel as (vertical, horizontal); `pads` are before the first pixel."""

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)
    dilations: tuple[int, int] = (1, 1)

    @property
    def pointwise(self) -> bool:
        """Return whether each output pixel depends only on the input pixel at the same place."""
        return self == Geometry()


@dataclass(eq=False)
class Node:
    """A computation of one value from other values."""

    inputs: list[Value]
    output: Value
    name: str = ""

    def __post_init__(self) -> None:
        self.output.maker = self


@dataclass(eq=False)
class Window(Node):
    """A convolution, pooling or copy.

    Attributes:
        weights: REAL (h, w, in / groups, out), DEPTHWISE (h, w, c), BINARY (h, w, in, out).
        groups: groups of a REAL convolution.
        fill: the sign of the padding of a BINARY convolution; 0 for zero padding.
        channel: the output channel to which LOAD writes the input's first channel.
        signs: the input of a BINARY convolution.
    """

    kind: Kind = Kind.LOAD
    geometry: Geometry = Geometry()
    weights: np.ndarray | None = None
    groups: int = 1
    fill: int = 0
    channel: int = 0
    signs: Signs | None = None


@dataclass(eq=False)
class Affine(Node):
    """x * scale + shift per channel in float64; either of them may be None."""

    scale: np.ndarray | None = None
    shift: np.ndarray | None = None


@dataclass(eq=False)
class Scale(Node):
    """x times factors per pixel: `full` (h, w, c), `pixel` (h, w), or `row` (h,), `column` (w,)."""

    full: np.ndarray | None = None
    pixel: np.ndarray | None = None
    row: np.ndarray | None = None
    column: np.ndarray | None = None


@dataclass(eq=False)
class PRelu(Node):
    """x for x >= 0, else x * slope, with a slope per channel."""

    slope: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(eq=False)
class Clip(Node):
    """x clipped to [low, high], with a slope outside."""

    low: float = -LARGEST
    high: float = LARGEST
    slope: float = 0.0


@dataclass(eq=False)
class Function(Node):
    """A function of each element, by its name in bnn.h."""

    function: str = ""


@dataclass(eq=False)
class Combine(Node):
    """The sum or product of two values; the second may have one pixel."""

    multiply: bool = False


@dataclass(eq=False)
class Concat(Node):
    """The concatenation of values along the channels."""


@dataclass(eq=False)
class Reorder(Node):
    """The same elements in another shape, or with the axes (h, w, c) in another order."""

    axes: tuple[int, int, int] | None = None


@dataclass(eq=False)
class Softmax(Node):
    """Softmax over the channels."""


@dataclass(eq=False)
class Signs:
    """Bits (x >= threshold) ^ flip of a value, with a threshold and a flip per channel.

    Attributes:
        narrow: whether a pixel of up to 16 channels takes 16 bits; else it takes words of 32 bits.
    """

    root: Value
    threshold: np.ndarray
    flip: np.ndarray
    narrow: bool = True

    @property
    def stride(self) -> int:
        """Return the bytes per pixel."""
        return 2 if self.narrow and self.root.channels <= 16 else 4 * -(-self.root.channels // 32)


class Graph:
    """Nodes in an order in which they can be computed: inputs first."""

    def __init__(self, image: Shape):
        self.image = Value(image)
        self.nodes: list[Node] = []
        self._signs: dict[int, Signs] = {}
        self._copy: Value | None = None

    def add(self, node: Node) -> Value:
        """Append a node; return its output."""
        if not (isinstance(node, Window) and self._may_read_image(node.kind)):
            node.inputs = [self.loaded(value) for value in node.inputs]
        self.nodes.append(node)
        return node.output

    def affine(self, x: Value, scale: Any, shift: Any, name: str = "") -> Value:
        """Append x * scale + shift; return its output."""
        scale = None if scale is None else np.asarray(scale, np.float64)
        shift = None if shift is None else np.asarray(shift, np.float64)
        return self.add(Affine([x], Value(x.shape), name, scale, shift))

    def signs(self, x: Value) -> Signs:
        """Return the signs of x, +1 for x >= 0.

        If x is an affine map of another value, they are a comparison of that value.
        """
        if id(x) not in self._signs:
            root, scale, shift = self.loaded(x), np.ones(x.channels), np.zeros(x.channels)
            while isinstance(root.maker, Affine | Clip):
                maker = root.maker
                if isinstance(maker, Affine):
                    shift = shift + (0 if maker.shift is None else scale * maker.shift)
                    scale = scale * (1 if maker.scale is None else maker.scale)
                elif (shift != 0).any() or not maker.low < 0 < maker.high:
                    break  # a clip keeps the sign only around 0 and without a shift
                root = maker.inputs[0]
            self._signs[id(x)] = Signs(root, *thresholds(scale, shift))
        return self._signs[id(x)]

    def _may_read_image(self, kind: Kind) -> bool:
        """Return whether a window may read the caller's image, whose channels are not padded.

        Except for convolutions, windows read whole vectors of channels.
        """
        return kind is Kind.REAL or self.image.channels % LANES == 0

    def original(self, value: Value, kind: Kind) -> Value:
        """Return the image for its copy, if a window of this kind may read the image."""
        return self.image if value is self._copy and self._may_read_image(kind) else value

    def loaded(self, value: Value) -> Value:
        """Return a value; for the image, a copy in the workspace with padded channels."""
        if value is not self.image:
            return value
        if self._copy is None:
            self._copy = Value(value.shape)
            self.nodes.append(Window([value], self._copy, "image"))
        return self._copy


def thresholds(scale: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return t, float32, and flip, so that ((x >= t) ^ flip) is `scale * x + shift >= 0`."""
    flip = scale < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = np.clip(-shift / scale, -LARGEST, LARGEST)
    turn = np.where(np.abs(turn) < SMALLEST, 0, turn)
    t = turn.astype(np.float32)
    t = np.where(t < turn, np.nextafter(t, LARGEST), t)  # the smallest float32 >= turn
    t = np.where(flip & (t == turn), np.nextafter(t, LARGEST), t)  # turn itself gives +1
    always = np.where(shift >= 0, -LARGEST, LARGEST)
    return np.where(scale == 0, always, t).astype(np.float32), flip
