"""Simplify a graph: remove unused nodes, and make padding and concatenations free."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from zoo.deploy.c.graph import (
    LANES,
    Affine,
    Clip,
    Combine,
    Concat,
    Geometry,
    Graph,
    Kind,
    Node,
    PRelu,
    Reorder,
    Softmax,
    Value,
    Window,
)


def rewritten(graph: Graph, output: Value) -> list[Node]:
    """Return the nodes that the output needs, in order; concatenations are written in place."""
    _let_convolutions_pad(graph, output)
    return _through_concatenations(_split_concatenations(_live(graph, output)))


def _let_convolutions_pad(graph: Graph, output: Value) -> None:
    """Let a float convolution pad with zeros itself, if nothing else reads the padded map."""
    users = _users(graph.nodes)
    for node in graph.nodes:
        if not isinstance(node, Window) or node.kind not in (Kind.REAL, Kind.DEPTHWISE):
            continue
        padding = node.inputs[0].maker
        if (
            isinstance(padding, Window)
            and padding.kind is Kind.LOAD
            and padding.geometry == Geometry(pads=padding.geometry.pads)
            and padding.channel == 0
            and padding.inputs[0].channels == padding.output.channels
            and users[padding.output] == [node]
            and padding.output is not output
        ):
            pads = zip(node.geometry.pads, padding.geometry.pads, strict=True)
            top, left = (own + before for own, before in pads)
            node.geometry = replace(node.geometry, pads=(top, left))
            node.inputs = [graph.original(value, node.kind) for value in padding.inputs]


def _users(nodes: list[Node]) -> dict[Value, list[Node]]:
    users: dict[Value, list[Node]] = defaultdict(list)
    for node in nodes:
        signs = [node.signs.root] if isinstance(node, Window) and node.signs is not None else []
        for value in [*node.inputs, *signs]:
            users[value].append(node)
    return users


def _live(graph: Graph, output: Value) -> list[Node]:
    """Return the nodes that the output needs, in order."""
    needed, live = {output}, []
    for node in reversed(graph.nodes):
        if node.output in needed:
            live.append(node)
            needed |= set(node.inputs)
            if isinstance(node, Window) and node.signs is not None:
                needed.add(node.signs.root)
    return live[::-1]


def _split_concatenations(nodes: list[Node]) -> list[Node]:
    """Replace concatenations that cannot be written in place by sums of zero-padded parts."""
    placed: set[Value] = set()
    result: list[Node] = []
    for node in nodes:
        if not isinstance(node, Concat):
            result.append(node)
            continue
        starts = np.cumsum([0, *(value.channels for value in node.inputs)])
        if any(start % LANES for start in starts[:-1]):
            total: Value | None = None
            for part, start in zip(node.inputs, starts, strict=False):
                moved = Value(node.output.shape)
                result.append(Window([part], moved, node.name, Kind.LOAD, channel=int(start)))
                if total is not None:
                    moved, both = Value(node.output.shape), [total, moved]
                    result.append(Combine(both, moved, node.name))
                total = moved
            assert total is not None
            _replace_output(result[-1], node.output)
            continue
        for index, part in enumerate(node.inputs):
            if part in placed or part.maker is None or isinstance(part.maker, Reorder | Softmax):
                node.inputs[index] = copied = Value(part.shape)
                result.append(Window([part], copied, node.name))
            placed.add(node.inputs[index])
        result.append(node)
    return result


def _replace_output(node: Node, output: Value) -> None:
    node.output = output
    output.maker = node


def _through_concatenations(nodes: list[Node]) -> list[Node]:
    """Apply per-channel nodes to the parts, before the concatenation: parts are in registers."""
    users = _users(nodes)
    result: list[Node] = []
    for node in nodes:
        concat = node.inputs[0].maker if len(node.inputs) == 1 else None
        exclusive = (
            isinstance(concat, Concat)
            and users[concat.output] == [node]
            and concat in result
            and all(
                users[part] == [concat]
                and part.maker is not None
                and not isinstance(part.maker, Concat)
                for part in concat.inputs
            )
        )
        parts = _by_part(node, concat) if exclusive and isinstance(concat, Concat) else None
        if parts is None or not isinstance(concat, Concat):
            result.append(node)
            continue
        result.remove(concat)
        result += parts
        joined = Concat([part.output for part in parts], node.output, concat.name)
        result.append(joined)
        for part in parts:
            users[part.inputs[0]] = [part]
            users[part.output] = [joined]
    return result


def _by_part(node: Node, concat: Concat) -> list[Node] | None:
    """Split a per-channel node into one for each part of a concatenation; None for other nodes."""
    made: list[Node] = []
    channel = 0
    for value in concat.inputs:
        here = slice(channel, channel + value.channels)
        channel += value.channels
        output = Value(value.shape)
        if isinstance(node, Affine):
            scale = None if node.scale is None else node.scale[here]
            shift = None if node.shift is None else node.shift[here]
            made.append(Affine([value], output, node.name, scale, shift))
        elif isinstance(node, PRelu):
            made.append(PRelu([value], output, node.name, node.slope[here]))
        elif isinstance(node, Clip):
            made.append(Clip([value], output, node.name, node.low, node.high, node.slope))
        else:
            return None
    return made
