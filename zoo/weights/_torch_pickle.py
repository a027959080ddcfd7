"""An interpreter for the pickles in PyTorch's files that cannot call Python code.

`pickle.Unpickler` with a list of allowed names is not safe enough: it still sets attributes of
allowed objects, and allocates memory for any index of its memo. Here `pickletools` splits a pickle
into opcodes, and each opcode builds plain values. `zoo.weights._torch_names` has the names.
"""

from __future__ import annotations

import pickle
import pickletools
from typing import IO, Any

from zoo.weights._torch_names import (
    NAMES,
    Call,
    Damaged,
    NumpyType,
    Refused,
    Storage,
    StorageType,
    count,
    key_of,
)

# Opcodes that have the value as argument.
_VALUES = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "SHORT_BINBYTES",
    "BINBYTES",
    "BINBYTES8",
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EXTENSIONS = {"EXT1", "EXT2", "EXT4"}


class Unpickler:
    """Read one pickle.

    Attributes:
        storages: the blocks of numbers that the pickle refers to, by key.
    """

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []  # the stacks below the open marks
        self._memo: dict[int, Any] = {}

    def load(self, file: IO[bytes]) -> Any:
        """Return the value of the pickle at the position of `file`; move `file` to its end.

        Raises:
            Refused: it refers to something that is not in `NAMES`.
            Damaged, or a Python error: it is not a pickle.
        """
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in _VALUES:
                self._stack.append(argument)
            elif opcode.name in _CONSTANTS:
                self._stack.append(_CONSTANTS[opcode.name])
            elif opcode.name in _TUPLES:
                length = _TUPLES[opcode.name]
                self._stack.append(tuple(reversed([self._stack.pop() for _ in range(length)])))
            elif opcode.name in _EXTENSIONS:
                raise Refused(f"extension {argument}")
            else:
                step = getattr(self, f"_{opcode.name.lower()}", None)
                if step is None:
                    raise Refused(opcode.name)
                step(argument)
        return self._stack.pop()

    def _proto(self, version: Any) -> None:
        if version > pickle.HIGHEST_PROTOCOL:
            raise Damaged(f"there is no pickle protocol {version}")

    def _frame(self, _: Any) -> None:
        pass

    _stop = _frame

    # --- the memo ---

    def _put(self, index: Any) -> None:
        self._memo[index] = self._stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, index: Any) -> None:
        self._stack.append(self._memo[index])

    _binget = _long_binget = _get

    # --- the stack ---

    def _mark(self, _: Any) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _to_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._to_mark()

    def _pop_mark(self, _: Any) -> None:
        self._to_mark()

    def _dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    # --- lists, tuples, dictionaries ---

    def _empty_list(self, _: Any) -> None:
        self._stack.append([])

    def _list(self, _: Any) -> None:
        items = self._to_mark()
        self._stack.append(items)

    def _append(self, _: Any) -> None:
        self._extend([self._stack.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._to_mark())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise Damaged("an append to an object that is not a list")
        self._stack[-1].extend(items)

    def _tuple(self, _: Any) -> None:
        items = self._to_mark()
        self._stack.append(tuple(items))

    def _empty_dict(self, _: Any) -> None:
        self._stack.append({})

    def _dict(self, _: Any) -> None:
        items = self._to_mark()
        self._stack.append({})
        self._update(items)

    def _setitem(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    def _setitems(self, _: Any) -> None:
        self._update(self._to_mark())

    def _update(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], dict):
            raise Damaged("an item is set on an object that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._stack[-1][key_of(key)] = value

    # --- names and what is called ---

    def _global(self, names: Any) -> None:
        self._stack.append(_named(names.replace(" ", ".")))

    def _stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Damaged("a name is not a word")
        self._stack.append(_named(f"{module}.{name}"))

    def _reduce(self, _: Any) -> None:
        arguments, called = self._stack.pop(), self._stack.pop()
        if not isinstance(called, Call) or not isinstance(arguments, tuple):
            raise Damaged("an object is called that is not a function")
        self._stack.append(called.make(*arguments))

    _newobj = _reduce

    def _inst(self, names: Any) -> None:
        items = self._to_mark()
        self._global(names)
        self._stack.append(tuple(items))
        self._reduce(None)

    def _obj(self, _: Any) -> None:
        called, *arguments = self._to_mark()
        self._stack += [called, tuple(arguments)]
        self._reduce(None)

    def _build(self, _: Any) -> None:
        """Set the state of the object below on the stack; only a NumPy type uses it."""
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, NumpyType):
            target.set_state(state)
        elif not isinstance(target, dict):  # an OrderedDict may have layers' versions
            raise Damaged("a state is set on an object without one")

    def _binpersid(self, _: Any) -> None:
        """Push a block of numbers: ("storage", type, key, device, numel[, (key, first, numel)])."""
        kind, storage_type, key, _device, numel, *view = self._stack.pop()
        if kind != "storage" or not isinstance(storage_type, StorageType):
            raise Damaged("a reference is not to a storage")
        if not isinstance(key, str):
            raise Damaged("a storage has no name")
        storage = Storage(key, storage_type.dtype, count(numel))
        if self.storages.setdefault(key, storage) != storage:
            raise Damaged("a storage has two different descriptions")
        if view and view[0] is not None:
            _, first, numel = view[0]
            if count(first) + count(numel) > storage.numel:
                raise Damaged("a part of a storage is larger than the storage")
            storage = Storage(key, storage_type.dtype, numel, first)
        self._stack.append(storage)


def _named(name: str) -> Any:
    if name not in NAMES:
        raise Refused(name)
    return NAMES[name]
