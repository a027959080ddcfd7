"""Packed sets: one bit per binary weight and one scale per filter; other weights are unchanged.

A binary network computes with the signs of its latent kernels and, in some papers, with the mean
magnitude in each filter. A packed set holds these two, in a 20th of the bytes. Reading it gives
latent kernels with which the network computes exactly the same numbers:

- Each weight keeps its sign. SD-BNN adds a shift to a filter before it takes signs; the shift is
  less than a hundredth of the scale, and every magnitude is larger than that.
- The mean magnitude in a filter is equal to its scale, to the bit: the magnitudes are multiples of
  one power of two that is so large that their sum is exact in any order.
- The magnitudes are between a hundredth of the scale and three times the scale. Most of them are
  small, so that signs can flip. With equal magnitudes, fine-tuning on few images lost five points.

The file is an .npz of few arrays: hundreds of small arrays would need more bytes for their headers
than for their content.

    zoo.model    the model's name
    zoo.packed   the version of this format
    index        JSON, UTF-8: [key, shape, kind, filters] of each entry of the state_dict, in order
    bits         the entries of kind "bits", 8 weights per byte: 1 is +; filter by filter, each in
                 PyTorch's order (in, height, width)
    scales       float32, one for each of these filters
    float32 ...  the entries of the other kinds; each kind is a NumPy dtype
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.adapters.larq import latent_variable
from zoo.weights.torch_layout import Entry, entries
from zoo.weights.torch_state import latent, torch_state

PACKED = "zoo.packed"
VERSION = 1
BITS = "bits"
_KINDS = (BITS, "float32", "float64", "float16", "int64", "int32", "uint8", "bool")
_MOST_AXES = 8
_MOST_WEIGHTS = 2**16  # per filter: more cannot be expressed in units of a float's last bit
_LEAST = 2**16 // 90  # smallest share, where the largest is 2**16: over 1 % of any mean share
_BLOCK = 2**20  # number of weights that are computed at a time


@dataclass(frozen=True)
class _Item:
    """One line of the index."""

    key: str
    shape: tuple[int, ...]
    kind: str
    filters: int = 0

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def pack(model: tf.keras.Model, more: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of a packed set with the state of `model`, of this zoo, and with `more`.

    Each kernel is checked: a kernel that would not be bit-identical is stored unpacked.
    """
    kernels = binary_kernels(model)
    index: list[_Item] = []
    parts: dict[str, list[np.ndarray]] = {}
    for key, value in {**torch_state(model), **more}.items():
        found = _signs_and_scales(*kernels[key]) if key in kernels else None
        if found:
            positive, scales = found
            parts.setdefault(BITS, []).append(positive.reshape(-1))
            parts.setdefault("scales", []).append(scales)
            index.append(_Item(key, value.shape, BITS, len(scales)))
        else:
            kind = value.dtype.name
            parts.setdefault(kind, []).append(value.reshape(-1))
            index.append(_Item(key, value.shape, kind))
    arrays = {kind: np.concatenate(values) for kind, values in parts.items()}
    if BITS in arrays:
        arrays[BITS] = np.packbits(arrays[BITS])
    text = json.dumps([astuple(item) for item in index], separators=(",", ":"))
    return {PACKED: np.array(VERSION), "index": np.frombuffer(text.encode(), np.uint8), **arrays}


def unpack(
    arrays: Mapping[str, np.ndarray], require: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """Return the state_dict in the arrays of a packed set, with latent kernels.

    Args:
        arrays: the arrays in the file.
        require: called with the number of bytes before they are allocated; it raises an error if
            they are too many.

    Raises:
        ValueError or another Python error: the arrays are not arrays that `pack` makes.
    """
    version = arrays[PACKED]
    if version.shape or version.dtype.kind not in "iu" or version != VERSION:
        raise ValueError(f"its format is not this program's version {VERSION}")
    index = [_item(*line) for line in json.loads(arrays["index"].tobytes())]
    sizes = dict.fromkeys((item.kind for item in index), 0)
    for item in index:
        sizes[item.kind] += item.size
    filters = sum(item.filters for item in index)
    _check(arrays, sizes, filters)
    require(sum(4 * size if kind == BITS else arrays[kind].nbytes for kind, size in sizes.items()))
    numbers = {kind: arrays[kind] for kind in sizes}
    if BITS in numbers:
        numbers[BITS] = np.unpackbits(numbers[BITS], count=sizes[BITS]).astype(bool)
    state: dict[str, np.ndarray] = {}
    used, scales = dict.fromkeys(sizes, 0), arrays.get("scales", np.zeros(0, "float32"))
    for item in index:
        values = numbers[item.kind][used[item.kind] :][: item.size]
        used[item.kind] += item.size
        if item.kind == BITS:
            values = latent_kernel(values.reshape(item.filters, -1), scales[: item.filters])
            scales = scales[item.filters :]
        state[item.key] = values.reshape(item.shape)
    return state


def latent_kernel(positive: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return latent weights with these signs; each filter's mean magnitude is exactly its scale.

    Args:
        positive: bool (filters, n).
        scales: float32 (filters,), each at least 0, and equal to a float32 divided by n.

    Returns:
        float32 (filters, n).
    """
    n = positive.shape[1]
    total = scales * np.float32(n)
    for near in (np.nextafter(total, np.float32(np.inf)), np.nextafter(total, np.float32(0))):
        total = np.where(total / np.float32(n) == scales, total, near)
    mantissa, exponent = np.frexp(total)
    units = (mantissa * 2**24).astype(np.int64)  # total in units of its last bit
    kernel = np.empty(positive.shape, np.float32)
    rows = max(_BLOCK // n, 1)
    for start in range(0, len(kernel), rows):
        part = slice(start, start + rows)
        shared = _shared_out(units[part], n, start)
        kernel[part] = np.ldexp(shared.astype(np.float32), exponent[part, None] - 24)
    return np.negative(kernel, out=kernel, where=~positive)


def _shared_out(totals: np.ndarray, n: int, first: int) -> np.ndarray:
    """Split each of `totals` into n integers, none below a hundredth of their mean.

    They are distributed like the squares of numbers drawn uniformly from [0, 1].

    Args:
        totals: int64 (filters,), each 0 or in [2**23, 2**24].
        n: number of integers, at most `_MOST_WEIGHTS`.
        first: index in the kernel of the first filter here; each filter is split differently.
    """
    position = np.arange(first * n, (first + len(totals)) * n).reshape(-1, n)
    shares = _LEAST + ((_mixed(position) >> 16) ** 2 >> 16)
    parts = shares * totals[:, None] // shares.sum(axis=1, keepdims=True)
    left = totals - parts.sum(axis=1)  # fewer than n
    return parts + (np.arange(n) < left[:, None])


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Return pseudo-random numbers below 2**32, the same on all machines and versions.

    This is the last step of MurmurHash3, a public-domain hash.
    """
    numbers = numbers & 0xFFFFFFFF
    for factor, shift in ((1, 16), (0x85EBCA6B, 13), (0xC2B2AE35, 16)):
        numbers = numbers.astype(np.uint64) * np.uint64(factor) & np.uint64(0xFFFFFFFF)
        numbers = numbers ^ (numbers >> np.uint64(shift))
    return numbers.astype(np.int64)


def binary_kernels(model: tf.keras.Model) -> dict[str, tuple[Any, Entry]]:
    """Return quantizer and entry of each binary kernel, by the entry's key."""
    quantizers = {
        id(latent_variable(layer.kernel)): layer.kernel_quantizer
        for layer in model.layers
        if getattr(getattr(layer, "kernel_quantizer", None), "precision", 32) == 1
    }
    found = {}
    for entry in entries(model):
        quantizer = quantizers.get(id(latent_variable(entry.variable)))
        if quantizer is not None and entry.oihw:
            found[entry.key] = quantizer, entry
    return found


def _signs_and_scales(quantizer: Any, entry: Entry) -> tuple[np.ndarray, np.ndarray] | None:
    """Return signs, bool (filters, n), and scales, float32 (filters,), of a kernel.

    None if the network would not compute the same numbers with them.
    """
    assert entry.oihw is not None
    kernel = latent(entry.variable).astype("float32")

    def by_filter(hwio: np.ndarray) -> np.ndarray:
        return entry.to_torch(hwio).reshape(entry.oihw[0], -1)  # type: ignore[index]

    if kernel[..., 0].size > _MOST_WEIGHTS:
        return None
    quantized = quantizer(tf.constant(kernel)).numpy()
    values = by_filter(quantized)
    scales = np.abs(values[:, 0])
    if np.all(scales == 1):  # the scale is used only if training continues
        total = np.abs(by_filter(kernel)).sum(axis=1, dtype="float64").astype("float32")
        scales = total / np.float32(values.shape[1])
    positive = values >= 0
    again = entry.to_keras(latent_kernel(positive, scales))
    if not np.array_equal(quantizer(tf.constant(again)).numpy(), quantized):
        return None
    return positive, scales


def _item(key: Any, shape: Any, kind: Any, filters: Any) -> _Item:
    """Return a line of the index after checking it."""
    numbers = [*shape, filters]
    if not isinstance(key, str) or kind not in _KINDS or len(shape) > _MOST_AXES:
        raise ValueError("its index is damaged")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("its index has a size that is not a whole number from 0 up")
    item = _Item(key, tuple(shape), kind, filters)
    if bool(filters) != (kind == BITS) or (
        filters and (item.size % filters or not 0 < item.size // filters <= _MOST_WEIGHTS)
    ):
        raise ValueError(f"its index has {filters} filters of {item.size} weights")
    return item


def _check(arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int], filters: int) -> None:
    """Refuse arrays that do not match the index exactly."""
    wanted = {kind: ((size,), kind) for kind, size in sizes.items()}
    if BITS in sizes:
        wanted[BITS] = (((sizes[BITS] + 7) // 8,), "uint8")
        wanted["scales"] = ((filters,), "float32")
    found = {
        name: (array.shape, array.dtype.name)
        for name, array in arrays.items()
        if name not in (PACKED, "index")
    }
    if found != wanted:
        raise ValueError("its arrays do not match its index")
    scales = arrays.get("scales")
    if scales is not None and not np.all((scales >= 0) & (scales < 1e30)):
        raise ValueError("a scale is not a number from 0 up")
