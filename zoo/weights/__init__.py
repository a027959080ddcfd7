"""Weights in models: loading, saving, and exchanging them with PyTorch.

`zoo.pretrained` finds and downloads the files.
"""

# Not lazy: the module `torch_state` would hide a lazy function of the same name.
from zoo.weights.load import load_features, load_weights, save_weights
from zoo.weights.torch_state import load_torch_state, torch_state

__all__ = ["load_features", "load_torch_state", "load_weights", "save_weights", "torch_state"]
