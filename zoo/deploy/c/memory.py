"""Place each map in the workspace; maps that are not needed at the same time share bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.deploy.c.graph import Combine, Concat, Kind, Reorder, Signs, Value, filled
from zoo.deploy.c.operations import Copy, Loop, Operation, Store
from zoo.deploy.c.schedule import Schedule

ALIGNMENT = 64
GUARD = 64  # bytes around signs: words of 16-bit pixels may begin before them or end behind them
AT_ONCE = 32  # pixels that a loop computes before it reads more, if it overwrites its input


@dataclass(frozen=True)
class Place:
    """Offset in bytes from the workspace's start, and stride in bytes from pixel to pixel."""

    offset: int
    stride: int


@dataclass(eq=False)
class Block:
    """Bytes that are in use from operation `first` to operation `last`.

    Attributes:
        over: the block that this one may overwrite from its start.
        shared: by how many bytes the two may overlap.
    """

    size: int
    first: int
    last: int
    offset: int = 0
    over: Block | None = None
    shared: int = 0


class Memory:
    """The memory plan of a schedule.

    Attributes:
        size: bytes of the workspace, without the bytes for aligning its start.
        pairs: the loops that run in turns with the next one.
    """

    def __init__(self, schedule: Schedule):
        self._schedule = schedule
        self._blocks: dict[Value | Signs, Block] = {}
        self._same: dict[Value, Value] = {}
        operations = schedule.operations
        self._find_views(operations)
        for index, operation in enumerate(operations):
            for value in operation.writes() + operation.reads():
                self._use(value, index)
        self._use(schedule.output, len(operations))
        self._use(schedule.image, 0)
        self.pairs = set(schedule.pairs())
        for index, operation in enumerate(operations):
            if operation in self.pairs:  # it still reads while the next operation writes
                for value in operation.reads():
                    self._use(value, index + 1)
        self._share(operations)
        self._at_once: set[Loop] = set()
        for index, operation in enumerate(operations):
            if isinstance(operation, Loop):
                self._overlap(operation, index)
        self.size = self._pack()

    def of(self, what: Value | Signs) -> Place:
        """Return the place of a value or of signs."""
        if isinstance(what, Signs):
            return Place(self._blocks[what].offset + GUARD, what.stride)
        if what is self._schedule.image:
            return Place(self._blocks[what].offset, 4 * what.channels)
        root, channel = self._root(what)
        return Place(self._blocks[root].offset + 4 * channel, 4 * filled(self._width(root, what)))

    def at_once(self, loop: Loop) -> int:
        """Return how many pixels the loop may compute before it reads more; 0 for any number."""
        return AT_ONCE if loop in self._at_once else 0

    def is_view(self, operation: Operation) -> bool:
        """Return whether a copy moves nothing in memory."""
        return isinstance(operation, Copy) and operation.node.output in self._same

    def _width(self, root: Value, what: Value) -> int:
        """Return the channels of a pixel in memory; for a part, those of its concatenation."""
        if what in self._same:
            return what.channels
        while what in self._schedule.parts:
            what = self._schedule.parts[what][0]
        return what.channels

    def _root(self, value: Value) -> tuple[Value, int]:
        """Return the value that contains `value` in memory, and the channel at which it begins."""
        channel = 0
        while value in self._schedule.parts or value in self._same:
            if value in self._same:
                value = self._same[value]
                continue
            value, start = self._schedule.parts[value]
            channel += start
        return value, channel

    def _find_views(self, operations: list[Operation]) -> None:
        """Find reshapings of whole vectors: they move nothing in memory."""
        for operation in operations:
            if not isinstance(operation, Copy) or not isinstance(operation.node, Reorder):
                continue
            node = operation.node
            source, target = node.inputs[0], node.output
            whole = all(filled(v.channels) == v.channels for v in (source, target))
            placed = any(v in self._schedule.parts for v in (source, target))
            if node.axes is None and whole and not placed and source is not self._schedule.image:
                self._same[target] = source

    def _use(self, what: Value | Signs, index: int) -> None:
        key: Value | Signs = what
        if isinstance(what, Value):
            if what is self._schedule.image:
                size = 4 * what.pixels * what.channels
            else:
                key, _ = self._root(what)
                size = 4 * key.pixels * filled(key.channels)
        else:
            size = what.root.pixels * what.stride + 2 * GUARD
        size = -(-size // ALIGNMENT) * ALIGNMENT
        block = self._blocks.setdefault(key, Block(size, index, index))
        block.first, block.last = min(block.first, index), max(block.last, index)

    def _share(self, operations: list[Operation]) -> None:
        """Let a loop's result replace, pixel by pixel, a map that no later operation reads.

        Both then use one block: 16 channels of a pixel are read before they are written.
        """
        for index, operation in enumerate(operations):
            if not isinstance(operation, Loop):
                continue
            stored = [i for i, step in enumerate(operation.steps) if isinstance(step, Store)]
            if len(stored) != 1:
                continue
            store = operation.steps[stored[0]]
            assert isinstance(store, Store)
            result = store.value
            reads = [
                (i, s.inputs[1]) for i, s in enumerate(operation.steps) if isinstance(s, Combine)
            ]
            window = operation.window
            if window.kind is Kind.LOAD and window.geometry.pointwise and not window.channel:
                reads.append((-1, window.inputs[0]))
            elsewhere = [] if len(reads) and reads[-1][0] == -1 else window.inputs
            for position, value in reads:
                if (
                    position < stored[0]
                    and self._free(value, result, index)
                    and not any(self._root(v)[0] is self._root(value)[0] for v in elsewhere)
                    and [v for _, v in reads].count(value) == 1
                ):
                    root, _ = self._root(value)
                    mine = self._blocks.pop(result)
                    self._blocks[root].last = mine.last
                    self._same[result] = root
                    break

    def _free(self, value: Value, result: Value, index: int) -> bool:
        if value is self._schedule.image or isinstance(value.maker, Concat):
            return False
        root, channel = self._root(value)
        return (
            result in self._blocks
            and root is not result
            and value not in self._schedule.parts
            and result not in self._schedule.parts
            and channel == 0
            and root.shape == value.shape == result.shape
            and self._blocks[root].last == index
            and self._blocks[result].first == index
        )

    def _overlap(self, loop: Loop, index: int) -> None:
        """Let a window's result overwrite its input, if no later operation reads the input.

        If a loop shrinks a map, it writes more slowly than it reads. If it computes a few pixels at
        a time and in order, input and result together need little more memory than the input.
        """
        window = loop.window
        stores = [step for step in loop.steps if isinstance(step, Store)]
        kinds = (Kind.LOAD, Kind.MEAN, Kind.MAXIMUM, Kind.DEPTHWISE)
        if window.kind not in kinds or loop.quads or len(stores) != 1:
            return
        (source,), result, where = window.inputs, stores[0].value, window.geometry
        if source is self._schedule.image or result not in self._blocks:
            return
        root, channel = self._root(source)
        others = [step.inputs[1] for step in loop.steps if isinstance(step, Combine)]
        ends = [
            pad == 0 and (out - 1) * stride + (kernel - 1) * dilation < size
            for pad, out, stride, kernel, dilation, size in zip(
                where.pads,
                window.output.shape,
                where.strides,
                where.kernel,
                where.dilations,
                source.shape,
                strict=False,
            )
        ]
        before, after = self._blocks[root], self._blocks[result]
        if (
            channel
            or root.shape != source.shape
            or result.shape != window.output.shape
            or not all(ends)
            or before.last != index
            or after.first != index
            or result in self._schedule.parts
            or any(self._root(o)[0] is root for o in others)
        ):
            return
        height, width, channels = result.shape
        pixels = np.arange(height * width)
        first = (
            (
                pixels // width * where.strides[0] * source.shape[1]
                + pixels % width * where.strides[1]
            )
            * 4
            * filled(source.channels)
        )
        written = np.minimum(pixels + AT_ONCE, len(pixels)) * 4 * filled(channels)
        lead = -(-int((written - first).max()) // ALIGNMENT) * ALIGNMENT
        if lead < after.size:
            after.over, after.shared = before, after.size - lead
            self._at_once.add(loop)

    def _pack(self) -> int:
        """Give every block an offset: the largest first, each as close to the end as possible."""
        placed: list[Block] = []
        for block in sorted(self._blocks.values(), key=lambda b: (-b.size, b.first)):
            taken = []  # ranges in which the block cannot end, counted from the workspace's end
            for other in placed:
                if other.first <= block.last and block.first <= other.last:
                    low, high = other.offset - block.size, other.offset + other.size
                    if block.over is other:
                        high -= block.shared
                    elif other.over is block:
                        low += other.shared
                    taken.append((low, high))
            block.offset = min(
                end
                for end in (0, *(high for _, high in taken))
                if end >= 0 and not any(low < end < high for low, high in taken)
            )
            placed.append(block)
        size = max((block.offset + block.size for block in placed), default=0)
        for block in placed:
            block.offset = size - block.offset - block.size
        return size
