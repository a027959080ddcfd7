"""The operations of the C code: copies, and loops over 16 channels at a time in registers.

`zoo.deploy.c.schedule` builds them from a graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from zoo.deploy.c.graph import Affine, Combine, Node, Signs, Value, Window


@dataclass(eq=False)
class Store:
    """Write the current value."""

    value: Value


@dataclass(eq=False)
class StoreSigns:
    """Write signs of the current value to the channels of `signs` from `channel` on."""

    signs: Signs
    channel: int = 0


@dataclass(eq=False)
class StorePool:
    """Write the mean of each 2x2 pixels to the channels of a map from `channel` on."""

    value: Value
    channel: int = 0


Step = Node | Store | StoreSigns | StorePool


@dataclass(eq=False)
class Loop:
    """A window and the steps on its values.

    Attributes:
        window: the operation that computes the values.
        steps: the steps in order; a Node's first input is the current value, others are read.
        head: the value after the last step.
        quads: whether pixels are computed in groups of 2x2.
    """

    window: Window
    steps: list[Step] = field(default_factory=list)
    head: Value = field(init=False)
    quads: bool = False

    def __post_init__(self) -> None:
        self.head = self.window.output

    def insert(self, value: Value, step: Store | StoreSigns | StorePool) -> None:
        """Insert a step at the point where `value` is the current value."""
        position = 0
        if value is not self.window.output:
            position = 1 + next(
                i for i, s in enumerate(self.steps) if isinstance(s, Node) and s.output is value
            )
        self.steps.insert(position, step)

    def reads(self) -> list[Value | Signs]:
        """Return the values that it reads."""
        read: list[Value | Signs] = list(self.window.inputs)
        if self.window.signs:
            read.append(self.window.signs)
        for step in self.steps:
            if isinstance(step, Combine):
                read.append(step.inputs[1])
        return read

    def writes(self) -> list[Value | Signs]:
        """Return the values that it writes."""
        return [
            step.signs if isinstance(step, StoreSigns) else step.value
            for step in self.steps
            if not isinstance(step, Node)
        ]


@dataclass(eq=False)
class Copy:
    """A node outside of loops: one that moves elements in memory, or softmax."""

    node: Node

    def reads(self) -> list[Value | Signs]:
        return list(self.node.inputs)

    def writes(self) -> list[Value | Signs]:
        return [self.node.output]


Operation = Loop | Copy


def merged(steps: Iterable[Step]) -> list[Step]:
    """Merge neighbouring affine maps; a shift after a sum is merged with a map before the sum."""
    result: list[Step] = []
    for step in steps:
        if isinstance(step, Affine):
            position = len(result) - 1
            if step.scale is None:
                while position >= 0 and _is_sum(result[position]):
                    position -= 1
            before = result[position] if position >= 0 else None
            if isinstance(before, Affine):
                result[position] = _after(before, step)
                continue
        result.append(step)
    return result


def _is_sum(step: Step) -> bool:
    return isinstance(step, Combine) and not step.multiply


def _after(first: Affine, second: Affine) -> Affine:
    scale, shift = first.scale, first.shift
    if second.scale is not None:
        scale = second.scale if scale is None else scale * second.scale
        shift = None if shift is None else shift * second.scale
    if second.shift is not None:
        shift = second.shift if shift is None else shift + second.shift
    output = Value(second.output.shape)
    return Affine(first.inputs, output, first.name or second.name, scale, shift)
