"""Convert a graph to loops: the work of each loop, the stored values, and the order.

A node that works on each element (batch norm, shortcut, activation) joins the loop that computes
its input, if only this node and signs read that input; the loop writes the signs on the way. So a
binary convolution, its batch norm, the shortcut, the activation and the next convolution's signs
are one pass. Values between them are stored only if another loop reads them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from zoo.deploy.c.graph import (
    Combine,
    Concat,
    Geometry,
    Graph,
    Kind,
    Node,
    Reorder,
    Signs,
    Softmax,
    Value,
    Window,
)
from zoo.deploy.c.operations import Copy, Loop, Operation, Store, StorePool, StoreSigns
from zoo.deploy.c.rewriting import rewritten

LARGE = 2**19  # bytes of a map that does not fit into the nearest cache


class Schedule:
    """The operations of a graph in order, and the places of each concatenation's parts.

    Attributes:
        operations: loops and copies.
        parts: for each part, the concatenation that contains it, and its first channel there.
    """

    def __init__(self, graph: Graph, output: Value):
        self.image, self.output = graph.image, output
        self.parts: dict[Value, tuple[Value, int]] = {}
        self._loops: dict[Value, Loop] = {}
        self._signs_done: set[Signs] = set()
        self._makers: dict[Value | Signs, list[Operation]] = defaultdict(list)
        self.operations: list[Operation] = []
        nodes = rewritten(graph, output)
        self._users: dict[Value, list[Node]] = defaultdict(list)
        self._nodes = set(nodes)
        for node in nodes:
            for value in node.inputs:
                self._users[value].append(node)
        for node in nodes:
            self._place(node)
        self._pool_at_once()
        self._store()
        self.operations = self._sorted()

    # --- which loop does what ---------------------------------------------------------------------

    def _place(self, node: Node) -> None:
        if isinstance(node, Window):
            if node.signs is not None:
                self._sign(node.signs)
            self._loop(node)
        elif isinstance(node, Concat):
            channel = 0
            for value in node.inputs:
                self.parts[value] = (node.output, channel)
                channel += value.channels
        elif isinstance(node, Reorder | Softmax):
            copy = Copy(node)
            self.operations.append(copy)
            self._makers[node.output].append(copy)
        else:
            self._join(node)

    def _loop(self, window: Window) -> Loop:
        loop = Loop(window)
        self.operations.append(loop)
        self._loops[window.output] = loop
        return loop

    def _load(self, value: Value) -> Loop:
        """Make a new loop that begins by reading a value."""
        return self._loop(Window([value], Value(value.shape), "load"))

    def _join(self, node: Node) -> None:
        """Append `node` to the loop that computes one of its inputs."""
        candidates = node.inputs[:1] if not isinstance(node, Combine) else node.inputs
        candidates = [value for value in candidates if value.shape == node.output.shape]
        # Prefer to join a convolution to a copy: otherwise its result would have to be stored.
        candidates.sort(key=lambda value: -self._worth(value))
        for value in candidates:
            loop = self._loops.get(value)
            others = [other for other in node.inputs if other is not value]
            if (
                loop is not None
                and loop.head is value
                and self._users[value] == [node]
                and not any(self._depends(other, loop) for other in others)
            ):
                break
        else:
            value = candidates[0]
            loop = self._load(value)
            others = [other for other in node.inputs if other is not value] or [value] * (
                len(node.inputs) - 1
            )
        node.inputs = [value, *others]
        assert loop is not None
        loop.steps.append(node)
        loop.head = node.output
        self._loops[node.output] = loop

    def _worth(self, value: Value) -> int:
        loop = self._loops.get(value)
        order = (Kind.LOAD, Kind.MEAN, Kind.MAXIMUM, Kind.DEPTHWISE, Kind.REAL, Kind.BINARY)
        return -1 if loop is None else order.index(loop.window.kind)

    def _depends(self, value: Value, loop: Loop) -> bool:
        """Return whether computing `value` needs a result of `loop`."""
        seen: set[int] = set()
        waiting: list[Operation] = self._made_by(value)
        while waiting:
            operation = waiting.pop()
            if operation is loop:
                return True
            if id(operation) not in seen:
                seen.add(id(operation))
                for read in operation.reads():
                    waiting += self._made_by(read)
        return False

    def _made_by(self, read: Value | Signs) -> list[Operation]:
        if isinstance(read, Signs):
            return self._makers[read]
        if read in self._loops:
            return [self._loops[read]]
        if isinstance(read.maker, Concat):
            return [maker for part in read.maker.inputs for maker in self._made_by(part)]
        return self._makers[read]

    def _sign(self, signs: Signs) -> None:
        """Let a loop write these signs."""
        if signs in self._signs_done:
            return
        self._signs_done.add(signs)
        root = signs.root
        parts = root.maker.inputs if isinstance(root.maker, Concat) else []
        # Only the concatenation reads the parts, or `rewritten` removed the concatenation.
        inside = all(
            part in self._loops
            and (self._users[part] == [root.maker] or root.maker not in self._nodes)
            for part in parts
        )
        if root in self._loops:
            pieces = [(root, 0)]
        elif parts and inside:
            starts = np.cumsum([0, *(part.channels for part in parts)]).tolist()
            pieces = list(zip(parts, starts[:-1], strict=True))
        else:
            loop = self._load(root)
            self._users[root].append(loop.window)
            pieces = [(loop.window.output, 0)]
        for value, channel in pieces:
            self._loops[value].insert(value, StoreSigns(signs, channel))
            self._makers[signs].append(self._loops[value])

    def _pool_at_once(self) -> None:
        """Let a pointwise loop write 2x2 means, if only a mean pooling reads its result."""
        for pooling in list(self.operations):
            if not isinstance(pooling, Loop) or pooling.steps:
                continue
            window, value = pooling.window, (*pooling.window.inputs, None)[0]
            if (
                value is None
                or window.kind is not Kind.MEAN
                or window.geometry != Geometry((2, 2), (2, 2))
                or value.shape[0] % 2
                or value.shape[1] % 2
                or self._users[value] != [window]
                or value is self.output
            ):
                continue
            parts = value.maker.inputs if isinstance(value.maker, Concat) else [value]
            if any(
                part not in self._loops
                or self._loops[part].head is not part
                or not self._loops[part].window.geometry.pointwise
                or (part is not value and self._users[part] != [value.maker])
                for part in parts
            ):
                continue
            self.operations.remove(pooling)
            del self._loops[window.output]
            channel = 0
            for part in parts:
                self.parts.pop(part, None)
                loop = self._loops[part]
                loop.quads = True
                loop.insert(part, StorePool(window.output, channel))
                self._makers[window.output].append(loop)
                channel += part.channels

    def pairs(self) -> Iterator[Loop]:
        """Yield the loops that can run in turns with the next one, some rows at a time.

        These are convolutions of real values with a large output, before a pooling of it: the
        pooling then finds the rows still in the cache.
        """
        for one, other in pairwise(self.operations):
            if (
                isinstance(one, Loop)
                and isinstance(other, Loop)
                and one.window.kind is Kind.REAL
                and other.window.kind in (Kind.MAXIMUM, Kind.MEAN)
                and not one.window.geometry.pointwise
                and not other.window.geometry.pointwise
                and not any(isinstance(step, Combine) for step in other.steps)
                and other.window.inputs[0] in one.writes()
                and other.window.inputs[0] not in self.parts
                and 4 * one.window.output.pixels * one.window.output.channels > LARGE
            ):
                yield one

    # --- what is stored, and the order ------------------------------------------------------------

    def _store(self) -> None:
        needed = {self.output}
        for operation in self.operations:
            needed |= {read for read in operation.reads() if isinstance(read, Value)}
        waiting = list(needed)
        while waiting:  # instead of a concatenation, its parts are stored
            value = waiting.pop()
            if isinstance(value.maker, Concat):
                waiting += value.maker.inputs
                needed |= set(value.maker.inputs)
        for value in needed:
            if value in self._loops:
                self._loops[value].insert(value, Store(value))

    def _sorted(self) -> list[Operation]:
        """Return the operations in order: each comes after the operations that it depends on."""
        done: list[Operation] = []
        state: dict[int, bool] = {}
        for first in self.operations:
            stack = [first]
            while stack:
                operation = stack[-1]
                if state.get(id(operation)):
                    stack.pop()
                    continue
                before = [
                    maker
                    for read in operation.reads()
                    for maker in self._made_by(read)
                    if maker is not operation and not state.get(id(maker))
                ]
                if before:
                    assert id(operation) not in state or operation is stack[-1]
                    stack += before
                    continue
                state[id(operation)] = True
                done.append(operation)
                stack.pop()
        return done
