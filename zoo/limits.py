"""The valid values of a field, written beside its type.

For example: `epochs: Annotated[int, at_least(0)] = Field(1)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin


@dataclass(frozen=True)
class Range:
    """The numbers that a field accepts; never infinity or NaN.

    Attributes:
        low, high: the ends.
        with_low, with_high: whether the ends are in the range.
    """

    low: float = -math.inf
    high: float = math.inf
    with_low: bool = True
    with_high: bool = True

    def holds(self, value: float) -> bool:
        """Return whether `value` is in the range."""
        return (
            math.isfinite(value)
            and (self.low < value or (self.with_low and value == self.low))
            and (value < self.high or (self.with_high and value == self.high))
        )

    def __str__(self) -> str:
        low = f"{self.low:g} or more" if self.with_low else f"above {self.low:g}"
        if math.isinf(self.high):
            return low
        return f"{low} and " + (
            f"{self.high:.12g} or less" if self.with_high else f"below {self.high:.12g}"
        )


@dataclass(frozen=True)
class OneOf:
    """The names that a field accepts, in the order in which they are shown."""

    names: tuple[str, ...]

    def holds(self, value: str) -> bool:
        """Return whether `value` is one of them."""
        return value in self.names

    def __str__(self) -> str:
        return f"one of {', '.join(self.names)}"


Limit = Range | OneOf


def one_of(names: Iterable[str]) -> OneOf:
    """Accept one of these names."""
    return OneOf(tuple(names))


def at_least(low: float, below: float = math.inf) -> Range:
    """Accept numbers from `low`, inclusive, to `below`, exclusive."""
    return Range(low, below, with_high=False)


def above(low: float, below: float = math.inf, up_to: float = math.inf) -> Range:
    """Accept numbers above `low`, and below `below` or up to `up_to`, inclusive."""
    return Range(low, min(below, up_to), with_low=False, with_high=up_to < below)


def limits_of(annotation: Any) -> list[Limit]:
    """Return the limits beside a type; for a union or a sequence, the limits of its parts."""
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return [each for each in parts[1:] if isinstance(each, Limit)]
    return [limit for part in parts for limit in limits_of(part)]


def without_limits(annotation: Any) -> Any:
    """Return the type of a field without its limits."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
