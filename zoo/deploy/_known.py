"""Find the known class that computes a layer; a subclass may not change the computation.

A subclass may change `__init__`, `build` and `get_config`. If it overrides anything else of the
known class, such as `call`, it may compute something different.
"""

from __future__ import annotations

import inspect
from collections.abc import Container, Iterator
from typing import Any

# Methods that a subclass may override: construction, description and saving, not computation.
HARMLESS = {
    "__init__",
    "__module__",
    "__doc__",
    "__qualname__",
    "__annotations__",
    "__dict__",
    "__weakref__",
    "__slotnames__",
    "__orig_bases__",
    "__parameters__",
    "__firstlineno__",
    "__static_attributes__",
    "__abstractmethods__",
    "_abc_impl",
    "__eq__",
    "__hash__",
    "__repr__",
    "__init_subclass__",
    "__subclasshook__",
    "__class__",
    "_tf_api_names",
    "_keras_api_names",
    "_keras_api_names_v1",
    "_TF_MODULE_IGNORED_PROPERTIES",
    "build",
    "add_weight",
    "get_config",
    "from_config",
    "compute_output_shape",
    "compute_output_signature",
    "get_build_config",
    "build_from_config",
    "count_params",
    "losses",
    "metrics",
    "weights",
    "trainable_weights",
    "non_trainable_weights",
    "get_weights",
    "set_weights",
    "save_own_variables",
    "load_own_variables",
}

LIBRARIES = ("tf_keras", "larq")  # subclasses in these libraries are separate kinds of layers


def known_class(layer: Any, known: Container[type]) -> type | None:
    """Return the class of `known` that computes `layer` with its code, or None."""
    cls = nearest_class(layer, known)
    return None if cls is None or any(changes(layer, cls)) else cls


def nearest_class(layer: Any, known: Container[type]) -> type | None:
    """Return the class of `known` that is the layer's class or a base class of it."""
    return next((cls for cls in type(layer).__mro__ if cls in known), None)


def changes(layer: Any, cls: type) -> Iterator[str]:
    """Yield names of attributes that `layer` or its class defines differently from `cls`."""
    of_layer = type(layer)
    if of_layer is not cls:
        if any("__getattr__" in vars(each) for each in of_layer.__mro__[:-1]) and not hasattr(
            cls, "__getattr__"
        ):
            yield "__getattr__"
        for name in dir(cls):
            if name not in HARMLESS and _static(of_layer, name) is not _static(cls, name):
                yield name
    for name in vars(layer):  # a method that was replaced on this object
        if name not in HARMLESS and callable(getattr(cls, name, None)):
            yield name


def reason(layer: Any, known: Container[type]) -> str:
    """Return the reason why a layer's code is unknown, as the end of a sentence."""
    cls = nearest_class(layer, known)
    if cls is None or (
        type(layer) is not cls and type(layer).__module__.partition(".")[0] in LIBRARIES
    ):
        return f"layers of the class {type(layer).__name__} are not supported"
    changed = ", ".join(sorted(changes(layer, cls))[:3])
    if type(layer) is cls:
        return f"methods were replaced on this layer ({changed})"
    return (
        f"{type(layer).__name__} changes what {cls.__name__} computes ({changed}), and the export "
        f"knows only {cls.__name__}"
    )


def _static(cls: type, name: str) -> Any:
    return inspect.getattr_static(cls, name, None)
