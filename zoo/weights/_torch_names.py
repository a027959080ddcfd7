"""The names that pickles in PyTorch's files may use, and the objects that replace them here.

A name in a file is only looked up in `NAMES`; nothing is imported. A tensor becomes a description
of the place of its numbers in the file; the numbers are not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

MOST_AXES = 32  # NumPy's limit


class Refused(Exception):
    """The file needs something that is neither a tensor nor plain data; the text names it."""


class Damaged(Exception):
    """The file is not a file that PyTorch writes; the text says why."""


@dataclass(frozen=True)
class StorageType:
    """torch.FloatStorage and similar types."""

    dtype: np.dtype


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file.

    Attributes:
        key: key of the block in the file.
        dtype: dtype of its numbers.
        numel: number of its numbers.
        first: index of its first number in the block (PyTorch before 0.4 saved parts of blocks).
    """

    key: str
    dtype: np.dtype
    numel: int
    first: int = 0


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; `offset` and `strides` count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """Return how many numbers it has; with strides of 0 more than its storage holds."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def end(self) -> int:
        """Return how many numbers its storage must have."""
        if 0 in self.shape:
            return 0
        pairs = zip(self.shape, self.strides, strict=True)
        return self.offset + 1 + sum((length - 1) * stride for length, stride in pairs)


@dataclass(frozen=True)
class Call:
    """A function that the file may call, and the function that we call instead."""

    make: Callable[..., Any]


_NUMPY_TYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


class NumpyType:
    """`numpy.dtype` of a number; the file sets its byte order afterwards."""

    def __init__(self, name: Any, *rest: Any):
        if name not in _NUMPY_TYPES:
            raise Refused(f"numpy.dtype {name}" if isinstance(name, str) else "numpy.dtype")
        self.name, self.order = name, "<"

    def set_state(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|"):
            raise Damaged("a NumPy type has no byte order")
        self.order = state[1]


def count(value: Any) -> int:
    """Return `value`; it must be an integer of at least 0."""
    if type(value) is not int or value < 0:
        raise Damaged("a size is not a whole number from 0 up")
    return value


def key_of(value: Any) -> Any:
    """Return `value`; it must be a valid key of a dictionary.

    Hashing a deeply nested tuple would crash the process.
    """
    plain = (str, bytes, int, float, type(None))
    parts = value if isinstance(value, tuple) else (value,)
    if all(isinstance(each, plain) for each in parts):
        return value
    raise Damaged("a dictionary's key is neither a word nor a number")


def _counts(values: Any) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or len(values) > MOST_AXES:
        raise Damaged("a shape is not a short tuple")
    return tuple(map(count, values))


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *gradient: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise Damaged("a tensor has no storage")
    tensor = Tensor(storage, count(offset), _counts(shape), _counts(strides))
    if len(tensor.shape) != len(tensor.strides):
        raise Damaged("a tensor's shape and strides differ in length")
    if tensor.end > storage.numel:
        raise Damaged("a tensor is larger than its storage in the file")
    return tensor


def _tensor_of_bytes(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    *metadata: Any,
) -> Tensor:
    """Return a tensor of a dtype without a storage class; its storage holds bytes."""
    if not isinstance(storage, Storage) or not isinstance(dtype, np.dtype) or storage.first:
        raise Damaged("a tensor has no storage or type")
    numel = storage.numel * storage.dtype.itemsize // dtype.itemsize
    return _tensor(replace(storage, dtype=dtype, numel=numel), offset, shape, strides)


def _parameter(data: Any, *gradient: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise Damaged("a parameter has no tensor")
    return data


def _number(dtype: Any, content: Any) -> Any:
    """Return a NumPy scalar; training scripts save the best accuracy in this form."""
    if not isinstance(dtype, NumpyType) or not isinstance(content, bytes):
        raise Damaged("a NumPy number has no type or content")
    return np.frombuffer(content, np.dtype(dtype.order + dtype.name), 1)[0].item()


def _bytes(text: Any, encoding: Any) -> bytes:
    """Return bytes; protocol 2 of pickle has no bytes and writes them as text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise Damaged("bytes are in an unknown encoding")
    return text.encode("latin1")


def _dictionary(pairs: Any = ()) -> dict[Any, Any]:
    return {key_of(key): value for key, value in pairs}


def _device(kind: Any, index: Any = 0) -> str:
    return f"{kind}:{count(index)}" if isinstance(kind, str) else ""


_STORED: dict[str, Any] = {
    "Float": np.float32,
    "Double": np.float64,
    "Half": np.float16,
    "BFloat16": ml_dtypes.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
}
_DTYPES = (
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
)
_OTHER_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")

NAMES: dict[str, StorageType | Call | np.dtype] = {
    "collections.OrderedDict": Call(_dictionary),
    "torch._utils._rebuild_tensor": Call(_tensor),
    "torch._utils._rebuild_tensor_v2": Call(_tensor),
    "torch._utils._rebuild_tensor_v3": Call(_tensor_of_bytes),
    "torch._utils._rebuild_parameter": Call(_parameter),
    "torch._utils._rebuild_parameter_with_state": Call(_parameter),
    "torch.Size": Call(_counts),
    "torch.device": Call(_device),
    "numpy.dtype": Call(NumpyType),
    "numpy.core.multiarray.scalar": Call(_number),
    "numpy._core.multiarray.scalar": Call(_number),  # since NumPy 2
    "_codecs.encode": Call(_bytes),
    "torch.storage.UntypedStorage": StorageType(np.dtype(np.uint8)),
    # Before 0.4, the class contained the tensor's device.
    **{
        f"{module}.{name}Storage": StorageType(np.dtype(dtype))
        for module in ("torch", "torch.cuda")
        for name, dtype in _STORED.items()
    },
    **{f"torch.{name}": np.dtype(name) for name in _DTYPES},
    **{f"torch.{name}": np.dtype(getattr(ml_dtypes, name)) for name in _OTHER_DTYPES},
}
