"""Hooks for imports of other modules, or failed imports, after `import zoo`; imports nothing.

- When Keras reads its register of classes, this zoo's layers are imported. So `import zoo` is
  enough for `tf.keras.models.load_model` and for unpickling.
- larq-zoo imports one function of Keras 3; it gets the same function of Keras 2. Keras 3 would fail
  if KERAS_BACKEND names a backend that is not installed.
- zookeeper and larq-zoo import tensorflow-datasets, which takes a fifth of TensorFlow's import
  time. They get a stand-in that imports it when a data set is opened.
- `from zoo import ReactNetA` fails with the most similar name.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from zoo.errors import suggestion

REGISTER = "tf_keras.src.saving.object_registration"
LARQ_ZOO_UTILS = "larq_zoo.core.utils"
OF_DATASETS = ("zookeeper.tf.dataset", "zookeeper.tf.preprocessing", "larq_zoo.training.data")
TFDS = "tensorflow_datasets"
LAYERS = ("larq", "zoo.batch_norm", "zoo.quantizers", "zoo.layers")


class KerasRegister(dict):
    """Keras's register of classes; it imports this zoo's and larq's classes before it is read."""

    def __contains__(self, name: object) -> bool:
        if not super().__contains__(name) and str(name).startswith(("zoo>", "Larq>")):
            _import_layers()
        return super().__contains__(name)

    def keys(self) -> Any:
        """Return all names; Python copies the register by this method and `__iter__`."""
        _import_layers()
        return super().keys()

    def __iter__(self) -> Iterator:
        return iter(self.keys())


def _import_layers() -> None:
    if not any(map(_half_imported, LAYERS)):  # their own imports read the register
        for module in LAYERS:
            importlib.import_module(module)


def _half_imported(name: str) -> bool:
    module = sys.modules.get(name)
    return bool(module and getattr(module.__spec__, "_initializing", False))


def watch_register(module: ModuleType) -> None:
    """Replace the register in Keras's registration module."""
    register: dict = module._GLOBAL_CUSTOM_OBJECTS
    if not isinstance(register, KerasRegister):
        module._GLOBAL_CUSTOM_OBJECTS = KerasRegister(register)  # type: ignore[attr-defined]


@contextmanager
def without_keras3() -> Iterator[None]:
    """Replace the Keras 3 module that larq-zoo imports a function from, within the block."""
    if "keras" in sys.modules:  # the user has imported it, so it works
        yield
        return
    theirs = importlib.import_module("tf_keras.src.applications.imagenet_utils")
    stand_ins = {
        "keras": ModuleType("keras"),
        "keras.applications": ModuleType("keras.applications"),
        "keras.applications.imagenet_utils": theirs,
    }
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _Decoder(type):
    """Metaclass of the stand-in for `tfds.decode.Decoder` in types; it imports nothing."""

    def __instancecheck__(cls, value: object) -> bool:
        real = sys.modules.get(TFDS)  # if it is not imported, no object has its classes
        return real is not None and isinstance(value, real.decode.Decoder)


class Later(ModuleType):
    """A stand-in for a package or a part of it; it imports the package at the first use."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        package, *parts = self.__name__.split(".")
        real: Any = importlib.import_module(package)
        for part in parts:
            real = getattr(real, part)
        return getattr(real, name)


def datasets_later() -> Later:
    """Return a stand-in for tensorflow-datasets; zookeeper uses one of its classes in a type."""
    stand_in, decode = Later(TFDS), Later(f"{TFDS}.decode")
    stand_in.decode = decode  # type: ignore[attr-defined]
    decode.Decoder = _Decoder("Decoder", (), {})  # type: ignore[attr-defined]
    return stand_in


@contextmanager
def without_datasets() -> Iterator[None]:
    """Give `datasets_later()` to the modules that are imported in the block."""
    if TFDS in sys.modules:
        yield
        return
    stand_in = sys.modules[TFDS] = datasets_later()
    try:
        yield
    finally:
        if sys.modules.get(TFDS) is stand_in:
            del sys.modules[TFDS]


class _After(Loader):
    """The loader of a module, with an action around or after the import."""

    def __init__(self, loader: Any, execute: Callable[[Any, ModuleType], None]):
        self.loader, self.execute = loader, execute

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = module.__spec__.loader = self.loader  # type: ignore[union-attr]
        self.execute(self.loader, module)


def _execute_register(loader: Any, module: ModuleType) -> None:
    loader.exec_module(module)
    watch_register(module)


def _execute_larq_zoo(loader: Any, module: ModuleType) -> None:
    with without_keras3():
        loader.exec_module(module)


def _execute_of_datasets(loader: Any, module: ModuleType) -> None:
    with without_datasets():
        loader.exec_module(module)


WATCHED = {
    REGISTER: _execute_register,
    LARQ_ZOO_UTILS: _execute_larq_zoo,
    **dict.fromkeys(OF_DATASETS, _execute_of_datasets),
}


class Watched(MetaPathFinder):
    """Finds the watched modules as usual, but gives them the loader with the action."""

    def __init__(self) -> None:
        self.finding = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in WATCHED or self.finding:
            return None
        self.finding = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.finding = False
        if spec and spec.loader:
            spec.loader = _After(spec.loader, WATCHED[name])
        return spec


class Nearest(MetaPathFinder):
    """The last finder, for a name in this package that no module has."""

    def __init__(self, package: str, names: Iterable[str]):
        self.package, self.names = package, list(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parent, _, missing = name.rpartition(".")
        if parent == self.package and (near := suggestion(missing, self.names)) != ".":
            # No `name=`: Python would treat an error with the module's name as its own.
            raise ModuleNotFoundError(f"cannot import name '{missing}' from '{parent}'{near}")
        return None


def install(package: str, names: Iterable[str]) -> None:
    """Install the hooks; `names` can be imported from `package`."""
    sys.meta_path[:] = [
        each for each in sys.meta_path if type(each).__module__ != __name__
    ]  # remove the hooks of an earlier import of this package
    sys.meta_path.insert(0, Watched())
    sys.meta_path.append(Nearest(package, names))
    if REGISTER in sys.modules:
        watch_register(sys.modules[REGISTER])
