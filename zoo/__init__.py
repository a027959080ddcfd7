"""Binary neural networks for Keras: the networks of ReActNet, Bi-Real Net, XNOR-Net++ and SD-BNN.

    from zoo import ReActNetA
    model = ReActNetA(weights=None)

Importing this imports no TensorFlow; the first model does. Type checkers and editors read
`__init__.pyi`, which `python -m tools.write_stub` generates from this module and the models.
"""

from __future__ import annotations

import importlib
from typing import Any

from zoo import catalog, import_hooks
from zoo.errors import ZooError, suggestion
from zoo.feature_maps import FeatureMap, features
from zoo.keras2 import prefer_keras2, require_keras2
from zoo.lookup import get_model, list_models, load_model
from zoo.preprocessing import decode_predictions, preprocess_input
from zoo.profile import Profile, profile
from zoo.quiet import prefer_quiet

__version__ = "0.1.0"

_OURS = [row.model for row in catalog.rows(origin="zoo")]
_MODULES = ("deploy", "layers", "quantizers", "weights")
_FUNCTIONS = [
    FeatureMap,
    Profile,
    ZooError,
    decode_predictions,
    features,
    get_model,
    list_models,
    load_model,
    preprocess_input,
    profile,
]
__all__ = [*_OURS, *(each.__name__ for each in _FUNCTIONS), "catalog"]

prefer_keras2()
prefer_quiet()
import_hooks.install(__name__, [*__all__, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _OURS:
        require_keras2()
        return catalog.row(name).function()
    if name in _MODULES:
        require_keras2()
        return importlib.import_module(f"zoo.{name}")
    near = suggestion(name, [*__all__, *_MODULES]).rstrip(".")
    raise AttributeError(f"module 'zoo' has no attribute '{name}'{near}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
