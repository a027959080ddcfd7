"""Sums and concatenations of `Value`s, which make nodes as late as possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from openvino import opset15 as ops

from zoo.deploy.openvino._values import Convolution, Term, Value, plus


def added(values: Sequence[Value]) -> Value:
    """Return the sum of tensors; a tensor of one pixel, such as a gate, is broadcast."""
    shape = tuple(max(sizes) for sizes in zip(*(value.shape for value in values), strict=True))
    terms, shift = [], None
    for value in values:
        terms.append(value.one_term())
        shift = plus(shift, value.shift)
    return Value(terms, shape, shift)


def concatenated(values: Sequence[Value]) -> Value:
    """Concatenate tensors along the channels.

    Convolutions with the same input become one, and the values to add to them are concatenated
    first. So only operations that the plugin fuses remain after the concatenation.
    """
    batch, _, *size = values[0].shape
    shape = (batch, sum(value.channels for value in values), *size)
    ordered = [
        sorted(value.terms, key=lambda term: not isinstance(term.source, Convolution))
        for value in values
    ]
    terms = _joined_terms(ordered, values)
    if terms is None:
        terms = [Term(ops.concat([value.settled() for value in values], 1).output(0))]
    return Value(terms, shape, _joined([v.shift for v in values], values, np.zeros))


def _joined(numbers: Sequence[Any], values: Sequence[Value], neutral: Any) -> Any:
    """Concatenate per-channel numbers, with `neutral` for None; None if all are None."""
    if all(each is None for each in numbers):
        return None
    pairs = zip(numbers, values, strict=True)
    return np.concatenate([neutral(v.channels) if n is None else n for n, v in pairs])


def _joined_terms(ordered: list[list[Term]], values: Sequence[Value]) -> list[Term] | None:
    first = ordered[0]
    if any(len(terms) != len(first) for terms in ordered):
        return None
    joined = []
    for column in zip(*ordered, strict=True):
        sources = [term.source for term in column]
        scale = _joined([term.scale for term in column], values, np.ones)
        if all(isinstance(source, Convolution) for source in sources):
            if not all(sources[0].can_join(source) for source in sources):
                return None
            kernel = np.concatenate([source.kernel for source in sources])
            name = "+".join(source.name for source in sources)
            model = sources[0]
            source: Any = Convolution(model.image, kernel, model.geometry, model.binary, name)
        elif any(isinstance(source, Convolution) for source in sources) or len(first) == 1:
            return None
        else:
            source = ops.concat(sources, 1).output(0)
        joined.append(Term(source, scale))
    return joined
